import { synchronize } from '@nozbe/watermelondb/sync'

/** The server refused a request. `status` is the HTTP status, `code` and `problem` come from the body. */
export class SyncError extends Error {
  constructor(status, problem) {
    super(`${status} ${problem.code ?? ''} ${problem.detail ?? ''}`)
    this.status = status
    this.code = problem.code
    this.problem = problem
  }
}

/** The device's mark is worthless to this server: pull everything and replace what the device holds. */
const startOver = ['resync_required', 'since_ahead_of_server']

/**
 * Brings the device up to date. Resolves to the checksum of the last response, if it has one.
 *
 * `minVersion` is a version that the device must reach, from a change that it sent. `replace` pulls everything once and
 * replaces what the device holds.
 */
export async function syncProject({ database, baseUrl, projectId, token, minVersion = 0, replace = false }) {
  const get = async (since, schemaVersion, migration) => {
    const schema = `schema_version=${schemaVersion}&migration=${encodeURIComponent(JSON.stringify(migration ?? null))}`
    const query = `since=${since}&min_version=${minVersion}&${schema}`
    const response = await fetch(`${baseUrl}/api/v1/projects/${projectId}/sync/?${query}`, {
      headers: { Authorization: `Bearer ${token}` },
    })
    // A proxy may answer with something that is not JSON.
    const body = await response.json().catch(() => ({}))
    return { ok: response.ok && Number.isInteger(body.timestamp), status: response.status, body }
  }

  let last
  do {
    await synchronize({
      database,
      sendCreatedAsUpdated: true,
      migrationsEnabledAtVersion: 1,
      pullChanges: async ({ lastPulledAt, schemaVersion, migration }) => {
        let startsOver = replace
        let response = await get(startsOver ? 0 : (lastPulledAt ?? 0), schemaVersion, migration)
        if (startOver.includes(response.body.code)) {
          startsOver = true
          response = await get(0, schemaVersion, migration)
        }
        if (!response.ok) throw new SyncError(response.status, response.body)
        // Only the first page replaces. The others add to it.
        replace = false
        last = response.body
        const { changes, timestamp } = last
        return { changes, timestamp, experimentalStrategy: startsOver ? 'replacement' : undefined }
      },
    })
  } while (last.has_more)
  return last.checksum
}
