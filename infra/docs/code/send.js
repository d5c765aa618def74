import { SyncError } from './sync'

/**
 * Sends one change until the server has answered it. Resolves to the row and the version that it was written at.
 *
 * `change` is { method, path, body, key, baseVersion }: `path` is relative to the project, `key` is a UUID made when the
 * user made the change, `baseVersion` is the `server_version` of the row that the user saw (for PATCH).
 */
export async function sendChange({ baseUrl, projectId, token, wait = pause }, change) {
  const headers = {
    Authorization: `Bearer ${token}`,
    'Content-Type': 'application/json',
    'Idempotency-Key': change.key,
    ...(change.baseVersion && { 'X-Base-Version': String(change.baseVersion) }),
  }
  const body = change.body && JSON.stringify(change.body)
  for (;;) {
    const response = await fetch(`${baseUrl}/api/v1/projects/${projectId}/${change.path}`, {
      method: change.method,
      headers,
      body,
    })
    if (response.status !== 429 && response.status < 500) {
      // A proxy may answer with something that is not JSON, and a login page may do so with 200.
      const answer = response.status === 204 ? null : await response.json().catch(() => ({}))
      const version = Number(response.headers.get('X-Server-Version'))
      if (!response.ok || !version) throw new SyncError(response.status, answer ?? {})
      return { row: answer, version }
    }
    // The same request again, with the same key: it takes effect once.
    await wait(Number(response.headers.get('Retry-After') ?? 1))
  }
}

const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000))
