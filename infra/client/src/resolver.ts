// Merges a row that the user changed with the row that the server sent.

import { ackOf, changedColumns, keptBases } from './bases.js'
import type { ProjectState } from './state.js'
import { coupledWith, fieldsOf } from './tables.js'
import type { Table } from './tables.js'
import { isEmpty, keyOf } from './values.js'
import type { Fields, Raw, RemoteRow, Value } from './values.js'

/** What the user gave up before this pull: by row and column. */
export type GivenUp = Record<string, Record<string, Value>>

/** The row to store: `resolved` is WatermelonDB's proposal. */
export function resolveRow(
  state: Readonly<ProjectState>,
  table: Table,
  givenUp: GivenUp,
  local: Raw,
  remote: RemoteRow,
  resolved: Fields,
): Fields {
  if (local._status === 'deleted') return resolved
  if (local._status === 'synced') return { ...resolved, base_version: null }
  const given = givenUp[keyOf(table.name, local.id)] ?? {}
  const stays = (column: string): boolean => {
    if (column in given && given[column] === local[column]) return false
    return !table.columns.includes(column) || local[column] !== (remote[column] ?? null)
  }
  const changed = stillChanged(state, table, local, remote).filter(stays)
  const arrived: Fields = { ...resolved, ...fieldsOf(table, remote), server_version: remote.server_version }
  if (!changed.length) return { ...arrived, _status: 'synced', _changed: '', base_version: null }
  for (const column of changed) arrived[column] = local[column] ?? null
  const bases = basesAfter(state, table, local, changed)
  const base_version = isEmpty(bases) ? null : JSON.stringify(bases)
  return { ...arrived, _status: 'updated', _changed: changed.join(), base_version }
}

/** The changed columns, without those whose accepted values have come back. */
function stillChanged(state: Readonly<ProjectState>, table: Table, local: Raw, remote: RemoteRow): string[] {
  const ack = ackOf(state, table, local)
  const isBack = (column: string): boolean => {
    const accepted = ack?.fields[column]
    return !!accepted && accepted.value === local[column] && remote.server_version >= accepted.v
  }
  // A row that was created here and comes back from the server counts as an updated row from now on.
  if (local._status === 'created') return table.columns.filter((column) => !isBack(column))
  return changedColumns(local).filter((column) => !isBack(column))
}

/** For each column that stays dirty, the version that the user has seen: the one before this pull, not the one that arrived. */
function basesAfter(state: Readonly<ProjectState>, table: Table, local: Raw, changed: string[]): Record<string, number> {
  const ack = ackOf(state, table, local)
  const kept = keptBases(local)
  // Columns that follow from an edit are included. Its acceptance does not mean that the user has seen their values.
  const decided = new Set(changed.flatMap((column) => coupledWith(table.name, column)))
  return Object.fromEntries(
    [...decided].filter((column) => table.columns.includes(column)).map((column) => [column, Math.max(ack?.fields[column]?.v ?? 0, kept[column] ?? local.server_version)]),
  )
}
