import { Database, Model } from '@nozbe/watermelondb'
import SQLiteAdapter from '@nozbe/watermelondb/adapters/sqlite'
import { schemaMigrations } from '@nozbe/watermelondb/Schema/migrations'
import { schema } from './trueppm'

const modelOf = (table) => class extends Model { static table = table }

/** A database for one project: WatermelonDB keeps one mark per database, and a mark belongs to one project. */
export const openDatabase = (name) => new Database({
  adapter: new SQLiteAdapter({ dbName: name, schema, migrations: schemaMigrations({ migrations: [] }) }),
  modelClasses: Object.keys(schema.tables).map(modelOf),
})
