// The page's wording of what the package and the server report.

export const statuses = { BACKLOG: 'Backlog', NOT_STARTED: 'Not started', IN_PROGRESS: 'In progress', REVIEW: 'Review', COMPLETE: 'Complete', ON_HOLD: 'On hold' }

const labels = { percent_complete: 'Complete, %', duration: 'Duration, days', wbs_path: 'Outline' }

/** What the user calls a column. */
export const labelOf = (column) => labels[column] ?? (column[0].toUpperCase() + column.slice(1)).replaceAll('_', ' ')

/** A value as the user knows it. */
export function valueOf(column, value) {
  if (value === null || value === undefined || value === '') return 'nothing'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return column === 'status' ? (statuses[value] ?? value) : String(value)
}

/** “Name: Oak frame; Complete, %: 35”. */
export const fieldsIn = (values) =>
  Object.entries(values)
    .map(([column, value]) => `${labelOf(column)}: ${valueOf(column, value)}`)
    .join('; ')

const kinds = { projects: 'project', tasks: 'task', dependencies: 'dependency', calendars: 'calendar', memberships: 'membership' }
export const kindOf = (table) => kinds[table] ?? table

const verbs = { created: 'New', POST: 'New', updated: 'Edit', PATCH: 'Edit', deleted: 'Delete', DELETE: 'Delete' }
export const verbOf = (status) => verbs[status]

/** The state of a row that the server does not have as it is here. */
export const pendingWords = { waiting: 'waiting to be sent', sending: 'being sent', conflict: 'conflict', refused: 'refused' }

/** How the sync stands, in a word or two. */
export function stateIn({ state, lastSyncedAt, progress }) {
  if (state === 'gone') return 'Removed from this device'
  if (state === 'error') return 'Error'
  if (state === 'offline') return 'Offline'
  if (state === 'synced') return 'Synced'
  return lastSyncedAt === null || progress ? 'First sync' : 'Syncing'
}

export function goneIn(user, { code }) {
  if (code === 'project_deleted') return 'The project was deleted (project_deleted). Its data was deleted from the device.'
  return `${user} is not a member of this project (${code}). Its data was deleted from the device.`
}

const problems = {
  checksum_mismatch: 'The device does not have the same rows as the server, even after a full sync. Press “Full sync” to try again.',
  unreadable_answer: 'The response did not come from the server. Check the network. The app tries again by itself.',
  storage_failed: 'The device could not store its data. Free some space.',
}

/** Why the phone cannot sync, in a sentence. */
export const problemIn = ({ code, detail }) => problems[code] ?? `The device could not sync (${code}). ${detail}`

const reasons = {
  role_too_low: ({ detail }) => `Your role does not allow this. ${detail}`,
  not_found: () => 'The row is not on the server any more.',
  id_taken: () => 'The server has another row with this id.',
  batch_too_large: () => 'This edit changes more rows than the server can change at once.',
}

/** Why the server refused an edit, in a sentence or two. */
export function reasonIn(problem) {
  if (problem.errors?.length) return problem.errors.map(({ field, message }) => `${labelOf(field)} ${message}.`).join(' ')
  return reasons[problem.code]?.(problem) ?? problem.detail
}

/** What the user can do about a refused edit. */
export function adviceFor({ method, problem }) {
  if (problem.code === 'role_too_low') return 'Ask an admin of the project for another role, or discard your edit.'
  if (method === 'DELETE') return 'Keep the row by discarding your deletion.'
  return 'Change the value and save again, or discard your edit.'
}

/** Why edits were set aside. */
export function asideReasonIn({ reason, table }) {
  if (reason === 'project_deleted') return 'The project was deleted.'
  if (reason === 'membership_revoked' || reason === 'not_a_member') return 'You are not a member of the project any more.'
  if (reason === 'not on the server') return `The server, as it was restored, does not have the ${kindOf(table)}.`
  return `Someone else deleted the ${kindOf(table)}.`
}
