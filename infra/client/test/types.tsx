// What an app writes, held against WatermelonDB's own types and React's. It is compiled, and never runs.

import { appSchema, Database, Q, tableSchema } from '@nozbe/watermelondb'
import type { DatabaseAdapter } from '@nozbe/watermelondb/adapters/type'
import { synchronize } from '@nozbe/watermelondb/sync'
import { addColumns } from '@nozbe/watermelondb/Schema/migrations'
import { schema } from '../../api/trueppm'
import { baseVersionColumn, createSync, withBaseVersion } from '../src/index.js'
import type { Sync, SyncStatus } from '../src/index.js'
import { useConflicts, useSyncStatus } from '../src/react.js'

declare const adapter: DatabaseAdapter

const drafts = tableSchema({ name: 'drafts', columns: [{ name: 'text', type: 'string' }] })
export const app = withBaseVersion(schema, { appSchema, tableSchema }, { version: 2, more: [drafts] })
export const migration = addColumns({ table: 'tasks', columns: [baseVersionColumn] })

export const database = new Database({ adapter, modelClasses: [] })
export const sync: Sync = createSync({
  database,
  watermelon: { Q, synchronize },
  schema,
  baseUrl: 'https://example.com',
  token: async ({ refresh }) => (refresh ? 'new' : 'old'),
  projects: 'mine',
  network: (listener) => {
    listener(true)
    return () => {}
  },
})

export const settle = (): Promise<void>[] => sync.conflicts$.value.map((conflict) => sync.resolve(conflict, { value: 'both' }))

// @ts-expect-error: there is no such choice
export const wrong = (): Promise<void>[] => sync.conflicts$.value.map((conflict) => sync.resolve(conflict, 'ours'))

export const described = ({ state, projects }: SyncStatus): string => {
  // @ts-expect-error: a state is one of four
  if (state === 'done') return ''
  return Object.values(projects).some((project) => project.state === 'gone') ? 'left' : state
}

export function Banner(): React.ReactNode {
  const { pending, problem } = useSyncStatus(sync)
  const conflicts = useConflicts(sync)
  return (
    <p>
      {pending} edits wait, {conflicts.length} questions. {problem?.detail}
    </p>
  )
}
