// What this package uses of WatermelonDB, by shape and not by name: an app may pass in a fork.

import type { RemoteRow } from './values.js'

/** A record, as far as it is written here. */
export interface RecordLike {
  readonly id: string
  _raw: unknown
  prepareDestroyPermanently(): unknown
  prepareUpdate(change: (record: this) => void): unknown
}

export interface QueryLike {
  description: unknown
  /** The query without WatermelonDB's own condition that leaves out rows marked as deleted. */
  readonly _rawDescription: unknown
  unsafeFetchRaw(): Promise<unknown[]>
  fetchCount(): Promise<number>
}

export interface CollectionLike {
  query(...clauses: never[]): QueryLike
  find(id: string): Promise<RecordLike>
  prepareCreateFromDirtyRaw(raw: never): unknown
}

export interface SchemaLike {
  readonly version: number
  readonly tables: Record<string, { readonly columns: Record<string, ColumnLike> } | undefined>
}

export interface ColumnLike {
  readonly name: string
  readonly type: string
  readonly isOptional?: boolean
}

export interface DatabaseLike {
  readonly schema: unknown
  readonly adapter: { readonly dbName?: string | undefined; destroyDeletedRecords(table: never, ids: string[]): Promise<void> }
  readonly localStorage: {
    get(key: never): Promise<unknown>
    set(key: never, value: unknown): Promise<void>
  }
  get(table: never): CollectionLike
  write<T>(work: () => Promise<T>): Promise<T>
  read<T>(work: () => Promise<T>): Promise<T>
  batch(records: never): Promise<void>
  experimentalSubscribe(tables: never[], subscriber: () => void): () => void
}

/** The two parts of WatermelonDB that are not methods of a database. */
export interface Watermelon {
  readonly Q: {
    where(column: never, value: never): unknown
    oneOf(values: never): unknown
    gt(value: never): unknown
  }
  readonly synchronize: (options: never) => Promise<void>
}

/** What `pullChanges` gives to WatermelonDB. */
export type ChangeSet = Record<string, { created: RemoteRow[]; updated: RemoteRow[]; deleted: string[] }>
