// A phone's database: WatermelonDB as it comes from npm, and the edits that an app makes in it.

import { Database, appSchema, Model, Q, tableSchema } from '@nozbe/watermelondb'
import lokijs from '@nozbe/watermelondb/adapters/lokijs'
import { synchronize } from '@nozbe/watermelondb/sync'
import logger from '@nozbe/watermelondb/utils/common/logger'
import { withBaseVersion } from '@trueppm/sync'
import { schema } from '#trueppm'
import { appWith } from '../../../api/schema.mjs'

const { app, tables } = appWith({ appSchema, Model, tableSchema }, withBaseVersion(schema, { appSchema, tableSchema }))
export { schema, tables }

/** What the client package wants of WatermelonDB. */
export const watermelon = { Q, synchronize }

// The console shows its warnings and errors, but not its messages about each sync.
logger.default.log = () => {}

/**
 * A phone's storage, which survives the end of its app. It is in memory, so the devices are new whenever the page is loaded: by
 * then, another server may have the same address.
 */
export class Disk {
  #text = null
  #adapter

  /** The database as the app finds it when it starts. */
  open() {
    this.#adapter = new lokijs.default({
      // The client package allows one sync for each name, in all tabs. Here nothing is stored under it.
      dbName: `phone ${Math.random()}`,
      schema: app.schema,
      useWebWorker: false,
      useIncrementalIndexedDB: true,
      extraLokiOptions: { autosave: false },
      _testLokiAdapter: {
        loadDatabase: (_, done) => done(this.#text),
        saveDatabase: (_, text, done) => {
          this.#text = text
          done()
        },
        deleteDatabase: (_, done) => {
          this.#text = null
          done()
        },
      },
    })
    return new Database({ adapter: this.#adapter, modelClasses: app.modelClasses })
  }

  /** The app ends: what it had written stays. */
  close() {
    const loki = this.#adapter?._driver?.loki
    if (loki) this.#text = loki.serialize()
  }
}

/** The rows of all tables that the user sees, as they are stored. */
export async function rowsOf(database) {
  const rows = await Promise.all(tables.map((table) => database.get(table).query().unsafeFetchRaw()))
  return Object.fromEntries(tables.map((table, index) => [table, rows[index]]))
}

const set = (record, fields) => {
  for (const [column, value] of Object.entries(fields)) record._setRaw(column, value)
}

/** What the server would give to a task that is created with a name only. */
const blank = { duration: 1, status: 'NOT_STARTED' }

export const createTask = (database, project, id, fields) =>
  database.write(() =>
    database.get('tasks').create((record) => {
      record._raw.id = id
      set(record, { ...blank, ...fields, project })
    }),
  )

export const updateTask = (database, id, fields) =>
  database.write(async () => (await database.get('tasks').find(id)).update((record) => set(record, fields)))

/** Marks the task as deleted. It goes for good once the server has confirmed that. */
export const deleteTask = (database, id) => database.write(async () => (await database.get('tasks').find(id)).markAsDeleted())
