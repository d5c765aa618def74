// Pulls from the server into the database: collects pages, removes and stores rows, and then moves the mark.

import { enterArrival, settleRows } from './arrival.js'
import type { Api, Page } from './api.js'
import { SyncError } from './errors.js'
import { removeRows, unnamedRows } from './removal.js'
import type { Place, Victims } from './removal.js'
import { resolveRow } from './resolver.js'
import type { GivenUp } from './resolver.js'
import { printOf, tableOf } from './tables.js'
import type { Table } from './tables.js'
import { copied, isEmpty, splitKey } from './values.js'
import type { Fields, Raw, RemoteRow } from './values.js'
import type { ChangeSet, Watermelon } from './watermelon.js'

/** The project to pull, and the database to store it in. */
export interface PullContext extends Place {
  readonly project: string
  readonly api: Api
  readonly watermelon: Watermelon
  /** Tells how many rows a first sync has stored, and of how many if the server says so. */
  readonly progress: (rows: number, total: number | null) => void
}

/** The result of one pull. */
export interface Pulled {
  checksum: Page['checksum']
  timestamp: number
  /** Whether it brought nothing. */
  isIdle: boolean
}

/** Codes after which the device must pull everything again. */
const ANEW = ['resync_required', 'since_ahead_of_server', 'min_version_ahead_of_server']

/** The rows and deletions of one or more pages, by id. Of two states of a row, the newer one counts. */
class Arrivals {
  readonly rows = new Map<Table, Map<string, RemoteRow | null>>()
  timestamp = 0
  hasMore = false
  checksum: Page['checksum'] = null
  total: Page['total'] = null
  /** Whether these are all rows that the server has, and replace the rows on the device. */
  isWhole = false

  add(page: Page): void {
    for (const [table, updated] of page.updated) for (const row of updated) this.#put(table, row)
    for (const [table, ids] of page.deleted) for (const id of ids) this.#of(table).set(id, null)
    this.timestamp = page.timestamp
    this.hasMore = page.hasMore
    this.checksum = page.checksum
    this.total = page.total
  }

  #put(table: Table, row: RemoteRow): void {
    const before = this.#of(table).get(row.id)
    if (!before || before.server_version <= row.server_version) this.#of(table).set(row.id, row)
  }

  /** Adds a row that was read by itself, unless a page has it. */
  addFetched(table: Table, row: RemoteRow): void {
    if (!this.#of(table).has(row.id)) this.#of(table).set(row.id, row)
  }

  #of(table: Table): Map<string, RemoteRow | null> {
    const rows = this.rows.get(table) ?? new Map<string, RemoteRow | null>()
    this.rows.set(table, rows)
    return rows
  }

  live(table: Table): RemoteRow[] {
    return [...(this.rows.get(table)?.values() ?? [])].filter((row) => row !== null)
  }

  deleted(table: Table): string[] {
    return [...(this.rows.get(table)?.entries() ?? [])].filter(([, row]) => row === null).map(([id]) => id)
  }

  get size(): number {
    return [...this.rows.values()].reduce((sum, rows) => sum + rows.size, 0)
  }
}

/** Pulls until the server has no more. With `anew`, pulls everything and replaces the rows on the device. */
export async function pull(context: PullContext, anew = false): Promise<Pulled> {
  const { database, rows } = context
  let stored = 0
  for (;;) {
    const givenUp = await givenUpBefore(context)
    const fetched = await fetchGivenUp(context, givenUp)
    const arrivals = await collect(context, anew)
    await expectAccess(context, arrivals)
    for (const [table, row] of fetched) arrivals.addFetched(table, row)
    await apply(context, arrivals, givenUp)
    stored += arrivals.size
    if (!arrivals.hasMore) return { checksum: arrivals.checksum, timestamp: arrivals.timestamp, isIdle: stored === 0 }
    context.progress(await database.read(() => rows.countFromServer()), arrivals.total)
  }
}

/** Collects what is applied together: all pages of a delta, or one page of a first sync. */
async function collect(context: PullContext, anew: boolean): Promise<Arrivals> {
  const { store, rows, database, tables } = context
  const { mark, columns, columnsOfPages } = store.state
  const isFirst = columns === ''
  const had = columns || columnsOfPages
  const hasNewColumns = had !== '' && had !== printOf(tables)
  const lostItsMark = mark === 0 && (await database.read(() => rows.countFromServer())) > 0
  const isWhole = anew || hasNewColumns || lostItsMark
  try {
    if (isWhole) {
      // Only a pull with the old mark is told that the server was restored.
      if (mark > 0 && !isEmpty(store.state.acks)) await page(context, mark)
      return await collectFrom(context, 0, true)
    }
    if (!isFirst) return await collectFrom(context, mark, false)
    const arrivals = new Arrivals()
    arrivals.add(await page(context, mark))
    return arrivals
  } catch (error) {
    if (!(error instanceof SyncError) || !ANEW.includes(error.code)) throw error
    // The server may have lost what it had confirmed.
    await store.update((draft) => {
      draft.acks = {}
    })
    return collectFrom(context, 0, true)
  }
}

async function collectFrom(context: PullContext, since: number, isWhole: boolean): Promise<Arrivals> {
  const arrivals = new Arrivals()
  arrivals.isWhole = isWhole
  arrivals.timestamp = since
  do arrivals.add(await page(context, arrivals.timestamp))
  while (arrivals.hasMore)
  return arrivals
}

/** A page. The last one includes every version that the server has confirmed to this device. */
async function page({ api, project, store }: PullContext, since: number): Promise<Page> {
  const confirmed = Object.values(store.state.acks).reduce((most, { v }) => Math.max(most, v), 0)
  const answer = await api.page(project, since, confirmed)
  if (answer.hasMore && answer.timestamp === since) throw new SyncError('unreadable_answer', 'The server says that there is more, but its answer does not move the mark.')
  return answer
}

/** Where access has ended, a page deletes the project's own row and gives no reason. A request for that row gets the reason. */
async function expectAccess({ api, database, project, rows, tables }: PullContext, arrivals: Arrivals): Promise<void> {
  const table = tableOf(tables, 'projects')
  const arrived = arrivals.rows.get(table)?.get(project)
  if (arrived || arrivals.hasMore) return
  const isHere = arrived === undefined && (await database.read(() => rows.byId(table, project)))
  if (!isHere) await api.row(project, table, project)
}

/** What the user has given up so far. What is given up later is for the next pull. */
async function givenUpBefore({ database, tables, rows, store }: PullContext): Promise<GivenUp> {
  const done: string[] = []
  await database.read(async () => {
    for (const key of Object.keys(store.state.fetch)) {
      const [table, id] = splitKey(key)
      const raw = await rows.byId(tableOf(tables, table), id)
      if (raw?._status === 'synced') done.push(key) // An earlier pull did it, and the app was killed before that was noted.
    }
  })
  if (done.length) {
    await store.update((draft) => {
      for (const key of done) delete draft.fetch[key]
    })
  }
  return copied(store.state.fetch)
}

/** Fetches the rows in which the user gave up an edit, as the server has them. No delta brings them. */
async function fetchGivenUp({ api, project, tables, store }: PullContext, givenUp: GivenUp): Promise<[Table, RemoteRow][]> {
  const found: [Table, RemoteRow][] = []
  for (const key of Object.keys(givenUp)) {
    const [name, id] = splitKey(key)
    const table = tableOf(tables, name)
    const row = await api.row(project, table, id)
    if (row) found.push([table, row])
    else if (store.state.fetch[key] && '*' in store.state.fetch[key]) {
      // There is nothing to bring back. If the server never had the row, there is nothing to delete either.
      await store.update((draft) => {
        if (draft.fetch[key]?.['*'] === 0) draft.acks[key] = { v: 0, deleted: true, never: true, fields: {} }
        delete draft.fetch[key]
      })
    }
  }
  return found
}

async function apply(context: PullContext, arrivals: Arrivals, givenUp: GivenUp): Promise<void> {
  const { tables } = context
  const victims: Victims = new Map([...tables.values()].map((table) => [table, arrivals.deleted(table)]))
  if (arrivals.isWhole) {
    const unnamed = await unnamedRows(context, (table) => new Set(arrivals.live(table).map(({ id }) => id)))
    for (const [table, ids] of unnamed) victims.set(table, [...new Set([...(victims.get(table) ?? []), ...ids])])
  }
  await removeRows(context, victims, arrivals.isWhole ? 'not on the server' : 'deleted on the server')
  await takeBackDeletions(context, arrivals, givenUp)
  const arrived = await newer(context, arrivals)
  await upsert(context, arrived, givenUp)
  const hasVictims = [...tables.values()].some((table) => arrivals.deleted(table).length)
  await settleRows(context)
  await enterArrival(context, { arrived, hasVictims, timestamp: arrivals.timestamp, isFinal: !arrivals.hasMore, givenUp })
}

/** Destroys the local rows whose deletion the user gave up. This pull stores them again. */
async function takeBackDeletions({ database, tables, rows, store }: PullContext, arrivals: Arrivals, givenUp: GivenUp): Promise<void> {
  for (const [key, given] of Object.entries(givenUp)) {
    const [name, id] = splitKey(key)
    const table = tableOf(tables, name)
    if (!('*' in given) || !arrivals.rows.get(table)?.get(id)) continue
    await database.write(async () => {
      const raw = await rows.byId(table, id)
      if (raw && (raw._status !== 'deleted' || raw.server_version !== given['*'])) {
        // An earlier pull did this and the app was killed, or the row came back and was deleted once more.
        await store.update((draft) => {
          delete draft.fetch[key]
        })
      } else {
        await rows.destroyMarked(table, [id])
      }
    })
  }
}

/** The rows that are not older than the stored ones. A page that is not the last one may show an older row. */
async function newer({ database, tables, rows }: PullContext, arrivals: Arrivals): Promise<Map<Table, RemoteRow[]>> {
  const arrived = new Map<Table, RemoteRow[]>()
  await database.read(async () => {
    for (const table of tables.values()) {
      const live = arrivals.live(table)
      if (arrivals.isWhole) {
        arrived.set(table, live)
        continue
      }
      const here = new Map((await rows.byIds(table, live.map(({ id }) => id))).map((raw) => [raw.id, raw.server_version]))
      arrived.set(table, live.filter(({ id, server_version }) => (here.get(id) ?? 0) <= server_version))
    }
  })
  return arrived
}

/** Lets WatermelonDB store the rows. Its own mark does not change, and it is given no deletions. */
async function upsert(
  { database, watermelon, tables, store, project }: PullContext,
  arrived: Map<Table, RemoteRow[]>,
  givenUp: GivenUp,
): Promise<void> {
  const changes: ChangeSet = {}
  for (const [table, updated] of arrived) if (updated.length) changes[table.name] = { created: [], updated, deleted: [] }
  if (!Object.keys(changes).length) return
  const options = {
    database,
    sendCreatedAsUpdated: true,
    pullChanges: async ({ lastPulledAt }: { lastPulledAt?: number | null }) => ({ changes, timestamp: Math.max(lastPulledAt ?? 1, 1) }),
    conflictResolver: (name: string, local: Raw, remote: RemoteRow, resolved: Fields): Fields => {
      const table = tables.get(name)
      const isOurs = table && remote[table.projectColumn] === project
      return isOurs ? resolveRow(store.state, table, givenUp, local, remote, resolved) : resolved
    },
  }
  await watermelon.synchronize(options as never)
}
