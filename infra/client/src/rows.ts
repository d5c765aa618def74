// Reads and writes the rows of one project, or of all projects, as WatermelonDB stores them.

import { typed } from './tables.js'
import type { Table, Tables } from './tables.js'
import { keyOf } from './values.js'
import type { Raw } from './values.js'
import type { DatabaseLike, QueryLike, Watermelon } from './watermelon.js'

export interface Row {
  table: Table
  raw: Raw
}

const DIRTY = ['created', 'updated', 'deleted']

export class Rows {
  readonly #database: DatabaseLike
  readonly #q: Watermelon['Q']
  readonly #tables: Tables
  readonly #project: string | null

  /** `project` is null for the rows of all projects. */
  constructor(database: DatabaseLike, { Q }: Watermelon, tables: Tables, project: string | null) {
    this.#database = database
    this.#q = Q
    this.#tables = tables
    this.#project = project
  }

  /** All rows of a table, those that are marked as deleted included. Call it in a reader or writer. */
  all(table: Table): Promise<Raw[]> {
    return this.#fetch(table)
  }

  /** All rows by their keys. */
  async byKey(): Promise<Map<string, Row>> {
    const found = new Map<string, Row>()
    for (const table of this.#tables.values()) {
      for (const raw of await this.all(table)) found.set(keyOf(table.name, raw.id), { table, raw })
    }
    return found
  }

  byIds(table: Table, ids: string[]): Promise<Raw[]> {
    return ids.length ? this.#fetch(table, this.#where('id', this.#q.oneOf(ids as never))) : Promise.resolve([])
  }

  async byId(table: Table, id: string): Promise<Raw | undefined> {
    return (await this.#fetch(table, this.#where('id', id)))[0]
  }

  /** The rows that the user has changed. */
  async dirty(): Promise<Row[]> {
    const found: Row[] = []
    for (const table of this.#tables.values()) for (const raw of await this.dirtyOf(table)) found.push({ table, raw })
    return found
  }

  dirtyOf(table: Table): Promise<Raw[]> {
    return this.#fetch(table, this.#where('_status', this.#q.oneOf(DIRTY as never)))
  }

  /** How many rows came from the server. */
  async countFromServer(): Promise<number> {
    let count = 0
    const hasVersion = this.#where('server_version', this.#q.gt(0 as never))
    for (const table of this.#tables.values()) count += await this.#query(table, hasVersion).fetchCount()
    return count
  }

  /** Removes the rows for good, without recording deletions by the user. Call it in a writer. */
  async destroy(rows: Row[]): Promise<void> {
    const records: unknown[] = []
    for (const { table, raw } of rows) {
      if (raw._status === 'deleted') continue
      const record = await this.#database.get(table.name as never).find(raw.id)
      records.push(record.prepareDestroyPermanently())
    }
    if (records.length) await this.#database.batch(records as never)
    for (const table of this.#tables.values()) {
      const marked = rows.filter((row) => row.table === table && row.raw._status === 'deleted')
      if (marked.length) await this.destroyMarked(table, marked.map(({ raw }) => raw.id))
    }
  }

  /** Removes rows that are marked as deleted. */
  destroyMarked(table: Table, ids: string[]): Promise<void> {
    return this.#database.adapter.destroyDeletedRecords(table.name as never, ids)
  }

  /** Writes rows exactly as given. WatermelonDB does not record an edit by the user. Call it in a writer. */
  async overwrite(rows: Row[]): Promise<void> {
    const records: unknown[] = []
    for (const { table, raw } of rows) {
      const record = await this.#database.get(table.name as never).find(raw.id)
      records.push(
        record.prepareUpdate((it) => {
          it._raw = { ...(it._raw as object), ...raw }
        }),
      )
    }
    if (records.length) await this.#database.batch(records as never)
  }

  #where(column: string, value: unknown): unknown {
    return this.#q.where(column as never, value as never)
  }

  async #fetch(table: Table, ...where: unknown[]): Promise<Raw[]> {
    return (await this.#query(table, ...where).unsafeFetchRaw()).map((stored) => typed(table, stored as Record<string, unknown>))
  }

  #query(table: Table, ...where: unknown[]): QueryLike {
    const ours = this.#project === null ? [] : [this.#where(table.projectColumn, this.#project)]
    const query = this.#database.get(table.name as never).query(...([...ours, ...where] as never[]))
    query.description = query._rawDescription
    return query
  }
}
