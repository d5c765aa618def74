// Enters the results of a request into the state of the project.

import type { Problem } from './errors.js'
import { printOf } from './request.js'
import type { HeldConflict, Operation, PendingRequest, ProjectState } from './state.js'
import { fromRest, tableOf } from './tables.js'
import type { Tables } from './tables.js'
import { isEmpty, keyOf } from './values.js'

/** The result of one operation. */
export type Result =
  /** `merged`: the fields that have changed since the operation's base and that it does not set. */
  | { status: 'accepted'; version: number; merged: string[] }
  | { status: 'refused'; problem: Problem }
  | { status: 'not attempted' }

/** An accepted edit of a row in which others changed other fields meanwhile. */
export interface Merge {
  table: string
  id: string
  fields: string[]
  version: number
}

/** The edits that the server merged with those of others, by the state before the results are entered. */
export const mergesOf = ({ acks }: Readonly<ProjectState>, operations: readonly Operation[], results: readonly Result[]): Merge[] =>
  operations.flatMap(({ table, id }, index) => {
    const result = results[index]
    if (result?.status !== 'accepted') return []
    // A field that this device has written itself, and that no pull has brought back yet, is not news.
    const own = acks[keyOf(table, id)]?.fields ?? {}
    const fields = result.merged.filter((field) => !(field in own))
    return fields.length ? [{ table, id, fields, version: result.version }] : []
  })

/** Enters the results into a state that still holds the request. The caller writes it once. */
export function enterResults(draft: ProjectState, tables: Tables, request: PendingRequest, results: Result[], now: number): void {
  const { activity } = draft
  let accepted = false
  request.operations.forEach((operation, index) => {
    const result = results[index]
    if (result?.status === 'accepted') {
      accepted = true
      enterAcceptance(draft, operation, result.version)
    } else if (result?.status === 'refused') {
      if (enterRefusal(draft, tables, operation, result.problem, activity, now)) accepted = true
    }
  })
  if (accepted) draft.activity += 1
  draft.request = null
}

function enterAcceptance(draft: ProjectState, { method, table, id, values = {} }: Operation, version: number): void {
  const key = keyOf(table, id)
  delete draft.parked[key]
  if (method === 'DELETE') {
    draft.acks[key] = { v: version, deleted: true, fields: {} }
    return
  }
  const insisted = draft.insist[key]
  const fields = method === 'POST' ? {} : { ...draft.acks[key]?.fields }
  for (const [column, value] of Object.entries(values)) {
    if (insisted) delete insisted[column]
    fields[column] = { value, v: version }
  }
  draft.acks[key] = { v: version, fields }
}

/** Returns whether the refusal amounts to an acceptance: the row to delete does not exist. */
function enterRefusal(
  draft: ProjectState,
  tables: Tables,
  operation: Operation,
  problem: Problem,
  activity: number,
  now: number,
): boolean {
  const { method, table, id } = operation
  const key = keyOf(table, id)
  if (problem.status === 404 && method === 'DELETE') {
    draft.acks[key] = { v: 0, deleted: true, never: true, fields: {} }
    delete draft.parked[key]
    return true
  }
  if (problem.code === 'sync_conflict' && problem.server_version !== undefined) {
    enterConflict(draft, tables, operation, problem, problem.server_version)
    return false
  }
  const print = printOf(operation)
  const before = draft.parked[key]
  const tries = before?.print === print ? before.tries + 1 : 1
  draft.parked[key] = { print, activity, problem, method, values: operation.values ?? {}, at: now, tries }
  return false
}

function enterConflict(draft: ProjectState, tables: Tables, operation: Operation, problem: Problem, version: number): void {
  const { method, table, id, values = {}, typed } = operation
  const key = keyOf(table, id)
  const columns = problem.conflict_fields ?? []
  const theirs = (column: string) => fromRest(table, column, problem.server_value?.[column])
  if (typed && columns.every((column) => typed[column] === theirs(column))) {
    // The row to delete has exactly the values that its user typed: the creation had arrived, and only its answer was lost.
    draft.insist[key] = Object.fromEntries(tableOf(tables, table).columns.map((column) => [column, version]))
    return
  }
  const deleting = method === 'DELETE'
  const before = draft.conflicts[key]
  const entry: HeldConflict = before?.deleting === deleting ? before : { deleting, version, fields: {} }
  entry.version = version
  const given = draft.fetch[key] ?? {}
  for (const column of columns) {
    const mine = values[column] ?? null
    if (!deleting && column in given && given[column] === mine) continue // The user gave it up while it was being sent.
    entry.fields[column] = { mine, theirs: theirs(column), version }
  }
  delete draft.parked[key]
  if (!isEmpty(entry.fields)) draft.conflicts[key] = entry
}
