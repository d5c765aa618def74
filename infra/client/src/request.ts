// From dirty rows to the next request.

import { ackOf, basesOf, unsentColumns } from './bases.js'
import type { Problem } from './errors.js'
import type { Row } from './rows.js'
import type { Operation, Parked, PendingRequest, ProjectState } from './state.js'
import { coupledWith, fieldsOf, toRest, withFollowing } from './tables.js'
import type { Table, Tables } from './tables.js'
import { canonicalJson, keyOf } from './values.js'
import type { Fields, Raw } from './values.js'

type State = Readonly<ProjectState>

/** The most operations of a batch. */
export const MAX_OPERATIONS = 98
/** The server accepts a body of 2 MiB. The difference is for the JSON around the operations. */
const MAX_BATCH_BYTES = 2_000_000
/** How often a refused operation is sent again without a pause. */
const EAGER_RETRIES = 3
/** Milliseconds between further attempts. */
const RETRY_PAUSE = 60_000

/** The operation that the row still has to send, or null. */
export function operationOf(state: State, table: Table, raw: Raw): Operation | null {
  if (raw._status === 'deleted') return deletionOf(state, table, raw)
  const key = keyOf(table.name, raw.id)
  const acked = ackOf(state, table, raw)
  if (raw._status === 'created' && !acked) {
    return { method: 'POST', table: table.name, id: raw.id, values: fieldsOf(table, raw) }
  }
  const held = state.conflicts[key]?.fields ?? {}
  const given = state.fetch[key] ?? {}
  const isFree = (column: string): boolean =>
    !coupledWith(table.name, column).some((other) => other in held) && !(column in given && given[column] === raw[column])
  const columns = unsentColumns(state, table, raw).filter(isFree)
  if (!columns.length) return null
  const patch = Object.fromEntries(columns.map((column) => [column, raw[column] ?? null]))
  const values = withFollowing(table.name, patch)
  const isKnown = raw.server_version > 0 || acked
  const bases = isKnown ? basesOf(state, table, raw, Object.keys(values)) : { base_version: 0 }
  return { method: 'PATCH', table: table.name, id: raw.id, values, ...bases }
}

function deletionOf(state: State, table: Table, raw: Raw): Operation | null {
  const key = keyOf(table.name, raw.id)
  const isDone = state.acks[key]?.deleted || state.conflicts[key]?.deleting
  if (isDone || state.fetch[key]?.['*'] === raw.server_version) return null
  const operation: Operation = { method: 'DELETE', table: table.name, id: raw.id, ...basesOf(state, table, raw, table.columns) }
  return raw.server_version ? operation : { ...operation, typed: fieldsOf(table, raw) }
}

/** A fingerprint, to recognise a repeated operation. Bases do not count: an edit is the same whatever version it is based on. */
export const printOf = ({ method, values }: Pick<Operation, 'method' | 'values'>): string => JSON.stringify([method, values])

/** Whether a deletion takes more rows along than a batch holds. A single request may take several commits. */
const isTooLarge = (parked: Parked | undefined): boolean => parked?.method === 'DELETE' && parked.problem.code === 'batch_too_large'

/** Whether a refused operation is not sent for now. */
function isParked(parked: Parked | undefined, operation: Operation, activity: number, now: number): boolean {
  if (!parked || parked.print !== printOf(operation)) return false
  if (isTooLarge(parked) && parked.tries === 1) return false // Send it at once, as a single request.
  if (parked.activity === activity) return true
  return parked.tries > EAGER_RETRIES && Math.abs(now - parked.at) < RETRY_PAUSE
}

/** Everything that can be sent now, in the order in which it is sent. */
export function operationsOf(state: State, dirty: Row[], now: number): Operation[] {
  const operations: Operation[] = []
  for (const { table, raw } of dirty) {
    const operation = operationOf(state, table, raw)
    if (!operation) continue
    if (isParked(state.parked[keyOf(table.name, raw.id)], operation, state.activity, now)) continue
    operations.push(operation)
  }
  return operations.sort((one, other) => rank(one) - rank(other))
}

/** Rows are created before the rows that depend on them, and deleted after them. This order only saves refusals. */
function rank({ method, table }: Operation): number {
  if (method === 'DELETE') return table === 'dependencies' ? 0 : 3
  return table === 'dependencies' ? 2 : 1
}

/** Why this package refuses the operation, or null if it can be sent. */
export function unsendable(operation: Operation): Problem | null {
  const { method, table } = operation
  const problem = (detail: string): Problem => ({ code: 'not_sendable', detail })
  // The server would make another row of it.
  const isMadeElsewhere = method === 'POST' && (table === 'memberships' || table === 'projects')
  if (isMadeElsewhere) return problem(`Rows of ${table} are created by a request of their own, and not by a sync.`)
  const bytes = bytesOf(JSON.stringify(wireOf(operation)))
  if (bytes <= MAX_BATCH_BYTES) return null
  return problem(`This edit has ${(bytes / 1e6).toFixed(1)} MB. One edit may have at most ${MAX_BATCH_BYTES / 1e6} MB: shorten its text.`)
}

/** The length in UTF-8, or an upper bound of it for a short text. Not every React Native has a `TextEncoder`. */
function bytesOf(text: string): number {
  // A UTF-16 unit takes at most three bytes.
  if (3 * text.length <= MAX_BATCH_BYTES) return 3 * text.length
  let bytes = 0
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    const isSurrogate = unit >= 0xd800 && unit < 0xe000
    bytes += unit < 0x80 ? 1 : unit < 0x800 || isSurrogate ? 2 : 3
  }
  return bytes
}

/** The first request for these operations: a batch of as many as fit, or a single request for one that a batch does not take. */
export function requestOf(
  tables: Tables,
  state: State,
  operations: Operation[],
  atMost: number,
  key: string,
): PendingRequest | null {
  const isBatched = (operation: Operation): boolean => {
    const refused = state.parked[keyOf(operation.table, operation.id)]
    return !!tables.get(operation.table)?.inBatches && !(operation.method === 'DELETE' && isTooLarge(refused))
  }
  const first = operations[0]
  if (!first) return null
  if (!isBatched(first)) return { key, batch: false, text: bodyOf(first), operations: [first] }
  const texts: string[] = []
  const chosen: Operation[] = []
  let bytes = 0
  for (const operation of operations.filter(isBatched)) {
    const text = JSON.stringify(wireOf(operation))
    bytes += bytesOf(text)
    if (chosen.length && (chosen.length >= atMost || bytes > MAX_BATCH_BYTES)) break
    texts.push(text)
    chosen.push(operation)
  }
  return { key, batch: true, text: `{"mode":"each","operations":[${texts.join()}]}`, operations: chosen }
}

/** An operation as a batch takes it. */
function wireOf({ method, table, id, values, base_version, base_fields }: Operation): object {
  const path = method === 'POST' ? `${table}/` : `${table}/${id}/`
  const body = values && { body: method === 'POST' ? { id, ...restOf(table, values) } : restOf(table, values) }
  return { method, path, ...body, ...(base_version !== undefined && { base_version }), ...(base_fields && { base_fields }) }
}

/** The body of the single request. */
function bodyOf({ method, table, id, values }: Operation): string {
  if (!values) return ''
  return JSON.stringify(method === 'POST' ? { id, ...restOf(table, values) } : restOf(table, values))
}

/** The headers of the single request. */
export function baseHeaders({ base_version, base_fields }: Operation): Record<string, string> {
  return {
    ...(base_version !== undefined && { 'X-Base-Version': String(base_version) }),
    ...(base_fields && { 'X-Base-Fields': canonicalJson(base_fields) }),
  }
}

const restOf = (table: string, values: Fields): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).map(([column, value]) => [column, toRest(table, column, value)]))
