// The user's decisions. Each decision is one write of the state, and the next sync carries it out.

import { unsentColumns } from './bases.js'
import { SyncError } from './errors.js'
import type { PullContext } from './pull.js'
import { operationOf, printOf } from './request.js'
import type { Aside } from './state.js'
import { coupledWith, tableOf } from './tables.js'
import { isEmpty, keyOf } from './values.js'
import type { Raw, Value } from './values.js'

/** The question that the user answers: the field, or null for a deletion, and the version of the row that was shown. */
export interface Question {
  table: string
  id: string
  field: string | null
  version: number
}

/**
 * Settles a field of a conflict together with the fields that are coupled with it, or a whole deletion. Does nothing if the
 * question is not open any more, or if the row has another version by now.
 */
export async function decideConflict(context: PullContext, { table, id, field, version }: Question, choice: 'mine' | 'theirs'): Promise<void> {
  const { database, rows, store, tables } = context
  const key = keyOf(table, id)
  const columns = tableOf(tables, table).columns
  await database.write(async () => {
    const raw = await rows.byId(tableOf(tables, table), id)
    const held = store.state.conflicts[key]
    if (!raw || !held) return
    await store.update((draft) => {
      const open = draft.conflicts[key]
      if (!open) return
      const wasDeletedMeanwhile = raw._status === 'deleted' && !open.deleting
      if (wasDeletedMeanwhile) delete draft.conflicts[key] // The deletion will be judged by itself.
      else if (open.deleting) {
        if (field !== null || open.version !== version) return
        if (choice === 'mine') draft.insist[key] = Object.fromEntries(columns.map((column) => [column, open.version]))
        else draft.fetch[key] = { '*': raw.server_version }
        delete draft.conflicts[key]
      } else if (field !== null && open.fields[field]?.version === version) {
        for (const column of coupledWith(table, field)) {
          const shown = open.fields[column]?.version ?? version
          // With either choice the user has seen the server's value, so later edits may replace it.
          draft.insist[key] = { ...draft.insist[key], [column]: shown }
          if (choice === 'theirs') draft.fetch[key] = { ...draft.fetch[key], [column]: raw[column] ?? null }
        }
        for (const column of coupledWith(table, field)) delete open.fields[column]
        if (isEmpty(open.fields)) delete draft.conflicts[key]
      }
    })
  })
}

/** Settles a conflict with a third value, as an edit by a user who has seen both values. */
export async function decideWithValue(context: PullContext, question: Question, field: string, value: Value): Promise<void> {
  const { table, id } = question
  const { database, rows, tables } = context
  const of = tableOf(tables, table)
  await database.write(async () => {
    const raw = await rows.byId(of, id)
    if (!raw || raw._status === 'deleted') return
    const changed = [...new Set([...raw._changed.split(',').filter(Boolean), field])].join()
    const dirty: Partial<Raw> = raw._status === 'created' ? {} : { _status: 'updated', _changed: changed }
    await rows.overwrite([{ table: of, raw: { ...raw, [field]: value, ...dirty } as Raw }])
  })
  // This comes last: if the app is killed in between, the user is asked again.
  await decideConflict(context, question, 'mine')
}

/** Gives up the edits of a row that the server refused. Does nothing if the row was edited since. */
export async function discardRefused(context: PullContext, table: string, id: string): Promise<void> {
  const { database, rows, store, tables } = context
  const key = keyOf(table, id)
  const of = tableOf(tables, table)
  await database.write(async () => {
    const raw = await rows.byId(of, id)
    const parked = store.state.parked[key]
    const operation = raw && operationOf(store.state, of, raw)
    if (!raw || !parked || !operation || printOf(operation) !== parked.print) return
    // The edit is being sent once more, and may still be accepted.
    const isOnItsWay = store.state.request?.operations.some((sent) => sent.table === table && sent.id === id)
    if (isOnItsWay) throw new SyncError('busy_sending', 'This edit is being sent again. Discard it after the sync.')
    if (operation.method === 'POST') {
      await store.update((draft) => {
        delete draft.parked[key]
      })
      await rows.destroy([{ table: of, raw }])
      return
    }
    const columns = raw._status === 'deleted' ? [] : unsentColumns(store.state, of, raw)
    await store.update((draft) => {
      draft.fetch[key] = raw._status === 'deleted' ? { '*': raw.server_version } : Object.fromEntries(columns.map((column) => [column, raw[column] ?? null]))
      delete draft.parked[key]
      delete draft.conflicts[key]
    })
  })
}

/** Makes a new row of edits that were set aside. If the app is killed anywhere in between, there is still only one row. */
export async function restoreAside(from: PullContext, into: PullContext, key: string, newId: () => string): Promise<void> {
  const table = from.store.state.aside.find((entry) => entry.key === key)?.table
  if (table === 'projects' || table === 'memberships') throw new SyncError('not_sendable', `Rows of ${table} are created by a request of their own.`)
  if (into.store.state.status !== 'live') throw new SyncError('project_gone', 'The project is gone. Restore the edits into another one.')
  await from.store.update((draft) => {
    const entry = draft.aside.find((entry) => entry.key === key)
    if (entry) entry.restoring ??= { id: newId(), into: into.project }
  })
  const entry = from.store.state.aside.find((entry) => entry.key === key)
  if (!entry?.restoring) return
  await createRestored(into, entry, entry.restoring.id)
  await dropAside(from, key)
}

async function createRestored({ database, rows, tables, project }: PullContext, entry: Aside, id: string): Promise<void> {
  const table = tableOf(tables, entry.table)
  await database.write(async () => {
    if (await rows.byId(table, id)) return
    const raw = { id, _status: 'created', _changed: '', project, server_version: 0, base_version: null, ...entry.row }
    await database.batch([database.get(table.name as never).prepareCreateFromDirtyRaw(raw as never)] as never)
  })
}

/** Finishes the restores that a killed app had begun. What cannot be restored any more stays aside. */
export async function finishRestores(context: PullContext, project: (id: string) => PullContext | undefined): Promise<void> {
  for (const { key, restoring } of context.store.state.aside) {
    const into = restoring && project(restoring.into)
    if (restoring && into && into.store.state.status === 'live') await restoreAside(context, into, key, () => restoring.id)
  }
}

export function dropAside({ store }: PullContext, key: string): Promise<void> {
  return store.update((draft) => {
    draft.aside = draft.aside.filter((entry) => entry.key !== key)
  })
}

