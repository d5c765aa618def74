import { appSchema, Database, tableSchema } from '@nozbe/watermelondb'
import SQLiteAdapter from '@nozbe/watermelondb/adapters/sqlite'
import { schemaMigrations } from '@nozbe/watermelondb/Schema/migrations'
import { withBaseVersion } from '@trueppm/sync'
import { modelClasses } from './models'
import { schema } from './trueppm'

/** The server's tables, each with the column `base_version`, in which the package keeps what the user has seen. */
const tables = withBaseVersion(schema, { appSchema, tableSchema })

/** One database for all projects of one user. */
export const openDatabase = (name = 'trueppm') => new Database({
  adapter: new SQLiteAdapter({ dbName: name, schema: tables, migrations: schemaMigrations({ migrations: [] }), jsi: true }),
  modelClasses,
})
