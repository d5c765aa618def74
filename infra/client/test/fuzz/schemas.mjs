// The app of the fuzz: the generated schema, a column and a table of its own; and the same app before it had `notes`.

import { appSchema, tableSchema } from '@nozbe/watermelondb'
import { addColumns, schemaMigrations } from '@nozbe/watermelondb/Schema/migrations/index.js'

const drafts = tableSchema({ name: 'drafts', columns: [{ name: 'text', type: 'string' }] })
const isOpen = { name: 'is_open', type: 'boolean' }

const withOwn = (schema) =>
  appSchema({
    version: schema.version,
    tables: Object.values(schema.tables).map(({ name, columns }) =>
      tableSchema({ name, columns: [...Object.values(columns), ...(name === 'tasks' ? [isOpen] : [])] }),
    ),
  })

const without = (schema, version, column) =>
  appSchema({
    version,
    tables: Object.values(schema.tables).map(({ name, columns }) => tableSchema({ name, columns: Object.values(columns).filter((one) => one.name !== column) })),
  })

const migrations = schemaMigrations({
  migrations: [{ toVersion: 2, steps: [addColumns({ table: 'tasks', columns: [{ name: 'notes', type: 'string' }] })] }],
})

export function appsOf(schema, withBaseVersion) {
  const build = { appSchema, tableSchema }
  const full = withOwn(withBaseVersion(schema, build, { version: 2, more: [drafts] }))
  return {
    today: { schema, app: full, migrations },
    before: { schema: without(schema, 1, 'notes'), app: without(full, 1, 'notes'), migrations: schemaMigrations({ migrations: [] }) },
  }
}
