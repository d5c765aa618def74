/** What a column holds, as WatermelonDB stores it. */
export type Value = string | number | boolean | null
export type Fields = Record<string, Value>

/** A row as the adapter stores it, WatermelonDB's own columns included. */
export interface Raw {
  id: string
  _status: 'synced' | 'created' | 'updated' | 'deleted'
  /** Names of the columns that the user changed, with commas between. */
  _changed: string
  /** 0 until the server has sent the row. */
  server_version: number
  /** JSON `{column: version}`: see `bases.ts`. */
  base_version: string | null
  [column: string]: Value
}

/** A row as a pull brings it. */
export interface RemoteRow {
  id: string
  server_version: number
  [column: string]: Value
}

/** Names a row within its project. */
export const keyOf = (table: string, id: string): string => `${table}/${id}`

export function splitKey(key: string): [table: string, id: string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash), key.slice(slash + 1)]
}

/** JSON with the members of each object in alphabetical order, as the server writes it into a text column. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
  })
}

export const isEmpty = (map: object): boolean => Object.keys(map).length === 0

/** A copy of what is JSON anyway. React Native has no `structuredClone`. */
export const copied = <T>(json: T): T => JSON.parse(JSON.stringify(json)) as T
