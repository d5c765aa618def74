import type { SchemaLike } from './watermelon.js'

/** The local column that every synced table has beside the server's columns. Use it to migrate an existing database. */
export const baseVersionColumn = { name: 'base_version', type: 'string', isOptional: true } as const

type Build<Schema> = (schema: { version: number; tables: never[] }) => Schema
type BuildTable = (table: { name: string; columns: never[] }) => unknown

/**
 * The server's schema as the app's database needs it: with `base_version` in each table.
 *
 * `appSchema` and `tableSchema` are WatermelonDB's. `more` are tables of the app's own, made with `tableSchema`; they are
 * never sent. `version` is the version of the app's schema. The default is the server's version.
 */
export function withBaseVersion<Schema extends SchemaLike>(
  schema: Schema,
  { appSchema, tableSchema }: { appSchema: Build<Schema>; tableSchema: BuildTable },
  { version = schema.version, more = [] }: { version?: number; more?: unknown[] } = {},
): Schema {
  const tables = Object.entries(schema.tables).map(([name, table]) => {
    const columns = Object.values(table?.columns ?? {}).filter((column) => column.name !== baseVersionColumn.name)
    return tableSchema({ name, columns: [...columns, baseVersionColumn] as never[] })
  })
  return appSchema({ version, tables: [...tables, ...more] as never[] })
}
