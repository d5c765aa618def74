// The tables that are synced, and what is special about some of their columns.

import { SyncError } from './errors.js'
import type { ColumnLike, SchemaLike } from './watermelon.js'
import { canonicalJson } from './values.js'
import type { Fields, Raw, RemoteRow, Value } from './values.js'

/** Columns of every table that are not fields of the row: they say where it belongs, or are this package's own. */
const KEPT = new Set(['server_version', 'project', 'base_version'])
/** Text columns that REST shows as JSON. */
const JSON_COLUMNS: Record<string, readonly string[]> = { calendars: ['exceptions'] }
/** Columns of which one follows from the other: an unsettled conflict about one holds back both. */
const COUPLED: Record<string, readonly string[]> = { tasks: ['duration', 'is_milestone'] }
/** The tables whose rows can be sent in a batch. Rows of other tables take a request each. */
const IN_BATCHES = new Set(['tasks', 'dependencies', 'calendars'])

/** How a table is stored and sent. */
export interface Table {
  readonly name: string
  /** The columns that the server knows and whose edits are sent. */
  readonly columns: readonly string[]
  readonly inBatches: boolean
  /** The column that names the project: `id` in the project's own row, `project` in any other row. */
  readonly projectColumn: 'id' | 'project'
  readonly types: Record<string, ColumnLike>
}

export type Tables = ReadonlyMap<string, Table>

/** The tables of the server's schema. Throws if the database lacks one of their columns. */
export function tablesOf(server: SchemaLike, local: SchemaLike): Tables {
  const tables = new Map<string, Table>()
  for (const [name, table] of Object.entries(server.tables)) {
    if (!table) continue
    const stored = local.tables[name]?.columns ?? {}
    const wanted = [...Object.keys(table.columns).filter((column) => column !== 'base_version'), 'base_version']
    const missing = wanted.filter((column) => !stored[column])
    if (missing.length) throw new SyncError('schema_mismatch', missingColumns(name, missing))
    const columns = Object.keys(table.columns).filter((column) => !KEPT.has(column))
    const projectColumn = name === 'projects' ? 'id' : 'project'
    tables.set(name, { name, columns, inBatches: IN_BATCHES.has(name), projectColumn, types: stored })
  }
  return tables
}

function missingColumns(table: string, missing: string[]): string {
  const advice = missing.includes('base_version')
    ? 'Build the schema with withBaseVersion(), and migrate existing databases with baseVersionColumn.'
    : 'Columns have the names that the server gives them.'
  return `The table ${table} of the database has no column ${missing.join(', ')}. ${advice}`
}

export function tableOf(tables: Tables, name: string): Table {
  const table = tables.get(name)
  if (!table) throw new SyncError('schema_mismatch', `There is no synced table ${name}.`)
  return table
}

/** The synced columns as one text. When it changes, all rows have to be pulled again. */
export const printOf = (tables: Tables): string =>
  [...tables.values()].map(({ name, columns }) => `${name}:${columns.join()}`).join(';')

/** A stored row with the types of its columns: SQLite stores booleans as 0 and 1. */
export function typed(table: Table, stored: Record<string, unknown>): Raw {
  const raw: Record<string, unknown> = { id: stored.id, _status: stored._status, _changed: stored._changed ?? '' }
  for (const { name, type, isOptional } of Object.values(table.types)) {
    const value = stored[name]
    if (type === 'boolean') raw[name] = value == null && isOptional ? null : value === true || value === 1
    else raw[name] = value ?? (isOptional ? null : type === 'number' ? 0 : '')
  }
  return raw as Raw
}

/** The fields of a row, as they are stored. */
export function fieldsOf(table: Table, row: Raw | RemoteRow): Fields {
  return Object.fromEntries(table.columns.map((column) => [column, row[column] ?? null]))
}

/** Whether the column is a text with JSON, which the server may write in another form. */
export const isJson = (table: string, column: string): boolean => !!JSON_COLUMNS[table]?.includes(column)

/** A stored value as REST takes it. Text that is no JSON is sent as it is, for the server to refuse. */
export function toRest(table: string, column: string, value: Value): unknown {
  if (!isJson(table, column) || typeof value !== 'string') return value
  try {
    return JSON.parse(value) as unknown
  } catch {
    return value
  }
}

/** A value of REST as it is stored. */
export function fromRest(table: string, column: string, value: unknown): Value {
  if (isJson(table, column) && value !== null && value !== undefined) return canonicalJson(value)
  return (value ?? null) as Value
}

/** The column and those that are decided together with it. */
export function coupledWith(table: string, column: string): readonly string[] {
  const group = COUPLED[table]
  return group?.includes(column) ? group : [column]
}

/**
 * The patch with the columns that the server would change along with it. Because they are sent, the server judges them by their
 * own bases, and no edit of them is overwritten unseen.
 */
export function withFollowing(table: string, patch: Fields): Fields {
  if (table !== 'tasks') return patch
  if (patch.is_milestone === true && !('duration' in patch)) return { ...patch, duration: 0 }
  if ('duration' in patch && !('is_milestone' in patch)) return { ...patch, is_milestone: patch.duration === 0 }
  return patch
}
