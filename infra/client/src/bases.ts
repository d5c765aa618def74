// The unsent changes of a row, and the version up to which its user has seen each field.

import type { Ack, ProjectState } from './state.js'
import type { Table } from './tables.js'
import { keyOf } from './values.js'
import type { Raw } from './values.js'

type State = Readonly<ProjectState>

/**
 * The acknowledgement of a row, without the parts that are void. A part is void once the row has a higher version, because the
 * row came back with the accepted edit or after it. Each field is judged by itself: a later operation may have confirmed fewer.
 */
export function ackOf(state: State, table: Table, raw: Raw): Ack | null {
  const ack = state.acks[keyOf(table.name, raw.id)]
  if (!ack || raw.server_version > ack.v) return null
  const fields = Object.fromEntries(Object.entries(ack.fields).filter(([, { v }]) => raw.server_version <= v))
  return { ...ack, fields }
}

/** The base versions of columns that were kept across pulls. */
export function keptBases(raw: Raw): Record<string, number> {
  if (!raw.base_version) return {}
  try {
    return JSON.parse(raw.base_version) as Record<string, number>
  } catch {
    return {} // Not written by this package. The row's own version is the base.
  }
}

export const changedColumns = (raw: Raw): string[] => raw._changed.split(',').filter(Boolean)

/** The version up to which the user has seen this field or set it. */
export function seenVersion(state: State, table: Table, raw: Raw, column: string): number {
  const acked = ackOf(state, table, raw)?.fields[column]?.v ?? 0
  const kept = keptBases(raw)[column] ?? raw.server_version
  const insisted = state.insist[keyOf(table.name, raw.id)]?.[column] ?? 0
  return Math.max(acked, kept, insisted)
}

/** The columns with values that the server has not accepted. */
export function unsentColumns(state: State, table: Table, raw: Raw): string[] {
  const ack = ackOf(state, table, raw)
  const accepted = (column: string): boolean => ack?.fields[column]?.value === raw[column]
  if (raw._status === 'created') return table.columns.filter((column) => !ack || !accepted(column))
  return changedColumns(raw).filter((column) => table.columns.includes(column) && !accepted(column))
}

/** The bases of some columns as they are sent: the lowest one, and all of them if they differ. */
export function basesOf(
  state: State,
  table: Table,
  raw: Raw,
  columns: readonly string[],
): { base_version: number; base_fields?: Record<string, number> } {
  const versions = columns.map((column) => seenVersion(state, table, raw, column))
  const base_version = Math.min(...versions)
  if (versions.every((version) => version === base_version)) return { base_version }
  return { base_version, base_fields: Object.fromEntries(columns.map((column, n) => [column, versions[n] ?? 0])) }
}
