/** The checksum of a table: the number of rows, and two sums over their ids and versions. */
export type Checksum = [rows: number, one: number, other: number]

function hash(text: string, factor: number): number {
  let hash = 0
  for (let at = 0; at < text.length; at += 1) {
    hash = Math.imul(hash ^ text.charCodeAt(at), factor)
    hash ^= hash >>> 15
  }
  return hash
}

/** A row, and the version that the server last sent of it. */
export interface RowVersion {
  id: string
  version: number
}

export const checksumsOf = (tables: Record<string, RowVersion[]>): Record<string, Checksum> =>
  Object.fromEntries(Object.entries(tables).map(([table, rows]) => [table, checksum(rows)]))

export function checksum(rows: Iterable<RowVersion>): Checksum {
  let [count, one, other] = [0, 0, 0]
  for (const { id, version } of rows) {
    const text = `${version}@${id};`
    count += 1
    one = (one + hash(text, 0x9e3779b1)) >>> 0
    other = (other + hash(text, 0x85ebca77)) >>> 0
  }
  return [count, one, other]
}
