// The tables of an app, out of trueppm.ts. WatermelonDB and the schema are handed in, so that whoever uses this has one copy of each.

export function appWith({ appSchema, Model, tableSchema }, schema) {
  const tables = Object.keys(schema.tables)

  /** A table as WatermelonDB wants it, for a schema or a migration; with `only` these columns of it. */
  const table = (name, only) => ({
    name,
    columns: schema.tables[name].columnArray.filter((column) => !only || only.includes(column.name)),
  })

  /** An app with these tables. */
  const appOf = (version, tables, migrations) => ({
    schema: appSchema({ version, tables: tables.map(tableSchema) }),
    modelClasses: tables.map(
      ({ name }) =>
        class extends Model {
          static table = name
        },
    ),
    migrations,
  })

  const app = appOf(
    schema.version,
    tables.map((name) => table(name)),
  )
  return { tables, table, appOf, app }
}
