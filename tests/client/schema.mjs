// The tables of the app, as an app developer gets them: out of infra/trueppm.ts.

import { appSchema, Model, tableSchema } from '@nozbe/watermelondb'
import { schema } from '#trueppm'

export { schema }

export const tables = Object.keys(schema.tables)

/** A table as WatermelonDB wants it, for a schema or a migration; with `only` these columns of it. */
export const table = (name, only) => ({
  name,
  columns: schema.tables[name].columnArray.filter((column) => !only || only.includes(column.name)),
})

/** An app with these tables. */
export const appOf = (version, tables, migrations) => ({
  schema: appSchema({ version, tables: tables.map(tableSchema) }),
  modelClasses: tables.map(
    ({ name }) =>
      class extends Model {
        static table = name
      },
  ),
  migrations,
})

export const app = appOf(
  schema.version,
  tables.map((name) => table(name)),
)
