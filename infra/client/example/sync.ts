import { Q } from '@nozbe/watermelondb'
import type { Database } from '@nozbe/watermelondb'
import { synchronize } from '@nozbe/watermelondb/sync'
import { createSync } from '@trueppm/sync'
import type { SyncOptions } from '@trueppm/sync'
import { appState, network } from './platform'
import { schema } from './trueppm'

/** Syncs every project that the user is a member of. Call it once for each database. */
export const openSync = (database: Database, server: Pick<SyncOptions, 'baseUrl' | 'token'>) => createSync({
  database,
  watermelon: { Q, synchronize },
  schema,
  ...server,
  projects: 'mine',
  network,
  appState,
})
