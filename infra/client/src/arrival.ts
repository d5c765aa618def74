// Updates the state of a project after rows have arrived.

import { ackOf, changedColumns, unsentColumns } from './bases.js'
import type { Place } from './removal.js'
import type { GivenUp } from './resolver.js'
import type { Row } from './rows.js'
import type { ProjectState } from './state.js'
import { isJson, printOf } from './tables.js'
import type { Table } from './tables.js'
import { isEmpty, keyOf, splitKey } from './values.js'
import type { Fields, Raw, RemoteRow } from './values.js'

export interface Arrival {
  arrived: Map<Table, RemoteRow[]>
  hasVictims: boolean
  timestamp: number
  isFinal: boolean
  givenUp: GivenUp
}

type Local = Map<string, Row>

/** Moves the mark, and drops notes about rows that are now as the server has them. It is one write of the state. */
export async function enterArrival(place: Place, arrival: Arrival): Promise<void> {
  const local = await place.database.read(() => remembered(place, arrival))
  await place.store.update((draft) => {
    const arrived = [...arrival.arrived].flatMap(([table, rows]) => rows.map((row) => [keyOf(table.name, row.id), row] as const))
    const isNews = ([key, row]: readonly [string, RemoteRow]): boolean => !((draft.acks[key]?.v ?? 0) >= row.server_version)
    if (arrival.hasVictims || arrived.some(isNews)) draft.activity += 1
    for (const [key, row] of arrived) {
      noteShadow(draft, local, key, row)
      clearGivenUp(draft, arrival.givenUp, key)
    }
    for (const key of Object.keys(arrival.givenUp)) if (!local.has(key)) delete draft.fetch[key]
    dropAcks(draft, local)
    if (arrival.isFinal) voidAcks(draft, local, arrival.timestamp)
    dropShadows(draft, local)
    for (const map of [draft.parked, draft.conflicts, draft.insist]) {
      for (const key of Object.keys(map)) if (!local.has(key) || local.get(key)?.raw._status === 'synced') delete map[key]
    }
    draft.mark = arrival.timestamp
    const columns = printOf(place.tables)
    draft.columnsOfPages = arrival.isFinal ? '' : columns
    if (arrival.isFinal) draft.columns = columns
  })
}

/** The local rows that the state has notes about, and those of the arrived rows that have local changes. */
async function remembered({ tables, rows, store }: Place, { arrived, givenUp }: Arrival): Promise<Local> {
  const { acks, parked, conflicts, insist, shadow } = store.state
  const wanted = new Map<string, Set<string>>()
  const want = (table: string, id: string): void => {
    wanted.set(table, (wanted.get(table) ?? new Set()).add(id))
  }
  for (const map of [acks, parked, conflicts, insist, shadow, givenUp]) for (const key of Object.keys(map)) want(...splitKey(key))
  const local: Local = new Map()
  for (const table of tables.values()) {
    const came = arrived.get(table) ?? []
    const dirty = new Set((came.length ? await rows.dirtyOf(table) : []).map(({ id }) => id))
    for (const { id } of came) if (dirty.has(id)) want(table.name, id)
    for (const raw of await rows.byIds(table, [...(wanted.get(table.name) ?? [])])) local.set(keyOf(table.name, raw.id), { table, raw })
  }
  return local
}

/** A row that is deleted here keeps its old version in the database. The version that arrived is noted in the state. */
function noteShadow(draft: ProjectState, local: Local, key: string, { server_version }: RemoteRow): void {
  const row = local.get(key)
  if (row && row.raw.server_version !== server_version) draft.shadow[key] = server_version
}

/** A pull carries out only what was given up before it began. */
function clearGivenUp(draft: ProjectState, givenUp: GivenUp, key: string): void {
  const open = draft.fetch[key]
  if (!open) return
  for (const [column, value] of Object.entries(givenUp[key] ?? {})) if (open[column] === value) delete open[column]
  if (isEmpty(open)) delete draft.fetch[key]
}

function dropAcks(draft: ProjectState, local: Local): void {
  for (const [key, ack] of Object.entries(draft.acks)) {
    const raw = local.get(key)?.raw
    const isBack = raw && (raw.server_version > ack.v || (raw._status === 'synced' && raw.server_version >= ack.v))
    if (!raw || isBack) delete draft.acks[key]
  }
}

/**
 * A device that is complete up to a confirmed version has the row at that version. If it does not, the server was restored
 * from an earlier backup, and the confirmation is void.
 */
function voidAcks(draft: ProjectState, local: Local, timestamp: number): void {
  for (const [key, ack] of Object.entries(draft.acks)) {
    const row = local.get(key)
    if (!row || ack.never || ack.v > timestamp) continue
    const version = Math.max(row.raw.server_version, draft.shadow[key] ?? 0)
    if (version < ack.v || ack.deleted) delete draft.acks[key]
  }
}

function dropShadows(draft: ProjectState, local: Local): void {
  for (const [key, version] of Object.entries(draft.shadow)) {
    const raw = local.get(key)?.raw
    if (raw?._status !== 'deleted' || raw.server_version >= version) delete draft.shadow[key]
  }
}

/** Marks rows as synced if they have nothing left to send and no accepted edit of theirs is still to come back. */
export async function settleRows({ database, rows, store, tables }: Place): Promise<void> {
  const isSettled = (table: Table, raw: Raw): boolean =>
    raw._status === 'updated' &&
    unsentColumns(store.state, table, raw).length === 0 &&
    !((ackOf(store.state, table, raw)?.v ?? 0) > raw.server_version)
  await database.write(async () => {
    const settled: Row[] = []
    const respelt: [key: string, texts: Fields][] = []
    for (const table of tables.values()) {
      for (const raw of await rows.dirtyOf(table)) {
        if (!isSettled(table, raw)) continue
        const texts = changedColumns(raw).filter((column) => isJson(table.name, column))
        if (texts.length) respelt.push([keyOf(table.name, raw.id), Object.fromEntries(texts.map((column) => [column, raw[column] ?? null]))])
        else settled.push({ table, raw: { ...raw, _status: 'synced', _changed: '', base_version: null } })
      }
    }
    // For the server it was no change, so no pull brings the row. The next sync fetches the server's spelling.
    if (respelt.length) {
      await store.update((draft) => {
        for (const [key, texts] of respelt) draft.fetch[key] = { ...draft.fetch[key], ...texts }
      })
    }
    await rows.overwrite(settled)
  })
}
