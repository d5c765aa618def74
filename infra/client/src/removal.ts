// Destroys rows that the server deleted, and all rows of a project that the user lost. Unsent edits are set aside first.

import { unsentColumns } from './bases.js'
import type { Row, Rows } from './rows.js'
import { emptyState } from './state.js'
import type { Aside, ProjectState, Store } from './state.js'
import { fieldsOf, tableOf } from './tables.js'
import type { Table, Tables } from './tables.js'
import { splitKey } from './values.js'
import type { Raw } from './values.js'
import type { DatabaseLike } from './watermelon.js'

export type Victims = Map<Table, string[]>

/** One project in the database. */
export interface Place {
  readonly database: DatabaseLike
  readonly tables: Tables
  readonly rows: Rows
  readonly store: Store
}

/** Destroys rows that the server no longer has. One writer does all of it, so that nothing can be typed in between. */
export async function removeRows({ database, rows, store }: Place, victims: Victims, reason: string): Promise<void> {
  if (![...victims.values()].some((ids) => ids.length)) return
  await database.write(async () => {
    const found: Row[] = []
    for (const [table, ids] of victims) for (const raw of await rows.byIds(table, ids)) found.push({ table, raw })
    if (!found.length) return
    await store.update((draft) => {
      for (const { table, raw } of found) setAside(draft, table, raw, reason)
    })
    await rows.destroy(found)
  })
}

/** Keeps the unsent edits of a row. Repeated after the app was killed, it adds nothing. */
function setAside(draft: ProjectState, table: Table, raw: Raw, reason: string): void {
  if (raw._status !== 'created' && raw._status !== 'updated') return
  const unsent = unsentColumns(draft, table, raw)
  if (!unsent.length) return
  const values = Object.fromEntries(unsent.map((column) => [column, raw[column] ?? null]))
  const content = { table: table.name, id: raw.id, created: raw._status === 'created', values, row: fieldsOf(table, raw) }
  const isSame = ({ table, id, created, values, row }: Aside): boolean =>
    JSON.stringify({ table, id, created, values, row }) === JSON.stringify(content)
  if (draft.aside.some(isSame)) return
  const key = `${draft.revision}/${table.name}/${raw.id}`
  draft.aside.push({ key, ...content, reason, at: Date.now() })
}

/** Destroys every row of a project that the user may not see any more. Safe to interrupt and repeat. */
export async function wipe({ database, rows, store }: Place, reason: string): Promise<void> {
  await database.write(async () => {
    const found = [...(await rows.byKey()).values()]
    await store.update((draft) => {
      for (const { table, raw } of found) setAside(draft, table, raw, reason)
      draft.status = 'leaving'
      draft.reason = reason
    })
    await rows.destroy(found)
  })
  await store.update((draft) => {
    const { revision, writer, aside, activity } = draft
    Object.assign(draft, emptyState(), { revision, writer, aside, activity: activity + 1, status: 'gone', reason })
  })
}

/** Destroys rows that were deleted here and that the server never had. */
export async function forgetNeverSent({ database, tables, rows, store }: Place): Promise<void> {
  const never = Object.keys(store.state.acks).filter((key) => store.state.acks[key]?.never)
  if (!never.length) return
  await database.write(async () => {
    const found: Row[] = []
    for (const key of never) {
      const [name, id] = splitKey(key)
      const table = tableOf(tables, name)
      const raw = await rows.byId(table, id)
      if (raw?._status === 'deleted') found.push({ table, raw })
    }
    await rows.destroy(found)
    await store.update((draft) => {
      for (const key of never) delete draft.acks[key]
    })
  })
}

/** The local rows that a full answer does not name, because the server does not have them. Rows that were never sent stay. */
export async function unnamedRows({ database, tables, rows, store }: Place, named: (table: Table) => Set<string>): Promise<Victims> {
  const victims: Victims = new Map()
  await database.read(async () => {
    for (const table of tables.values()) {
      const kept = named(table)
      const isOurs = ({ id, _status }: Raw): boolean => _status === 'created' && !store.state.acks[`${table.name}/${id}`]
      const gone = (await rows.all(table)).filter((raw) => !kept.has(raw.id) && !isOurs(raw))
      victims.set(table, gone.map(({ id }) => id))
    }
  })
  return victims
}
