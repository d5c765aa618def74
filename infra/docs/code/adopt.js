import { addColumns, schemaMigrations } from '@nozbe/watermelondb/Schema/migrations'
import { baseVersionColumn } from '@trueppm/sync'

const tables = ['projects', 'tasks', 'dependencies', 'calendars', 'memberships']
const columns = [{ name: 'server_version', type: 'number' }, baseVersionColumn]

/** From version 1 of the app's schema to version 2, which is `withBaseVersion(schema, build, { version: 2 })`. */
export const migrations = schemaMigrations({
  migrations: [{ toVersion: 2, steps: tables.map((table) => addColumns({ table, columns })) }],
})

/** Once, after the update of the app: the first sync, then what the new server does not have goes. */
export async function adopt(sync) {
  const { projects } = await sync.now()
  for (const id of Object.keys(projects)) await sync.repair(id)
  return sync.status$.value
}
