// A phone's database: WatermelonDB as it comes from npm.

import { Database, appSchema, Model, tableSchema } from '@nozbe/watermelondb'
import lokijs from '@nozbe/watermelondb/adapters/lokijs'
import logger from '@nozbe/watermelondb/utils/common/logger'
import { LokiMemoryAdapter } from 'lokijs'
import { schema } from '#trueppm'
import { checksum } from '#checksum'
import { appWith } from '../../../api/schema.mjs'

const { app, tables } = appWith({ appSchema, Model, tableSchema }, schema)
export { tables }

// Its warnings and errors are of interest, its news of each sync is not.
logger.default.log = () => {}

let made = 0

/**
 * A fresh installation. In memory: the page's devices are as new as the page, and as its server, which may be another one
 * at the same address.
 */
export const newDatabase = (name) =>
  new Database({
    adapter: new lokijs.default({
      dbName: `${name}-${made++}`,
      schema: app.schema,
      useWebWorker: false,
      useIncrementalIndexedDB: true,
      extraLokiOptions: { autosave: false },
      _testLokiAdapter: new LokiMemoryAdapter(),
    }),
    modelClasses: app.modelClasses,
  })

/** The version up to which a device is complete, as WatermelonDB keeps it; 0 before the first pull. */
export const markOf = async (database) => Number(await database.adapter.getLocal('__watermelon_last_pulled_at')) || 0

/** All rows of all tables, as stored. */
export async function rowsOf(database) {
  const rows = await Promise.all(tables.map((table) => database.get(table).query().unsafeFetchRaw()))
  return Object.fromEntries(tables.map((table, index) => [table, rows[index]]))
}

/** The tables of which the device holds something else than the server's checksum says. */
export const disagreeing = (rows, expected) =>
  tables.filter((table) => String(checksum(rows[table])) !== String(expected[table]))
