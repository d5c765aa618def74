import type { ProjectStatus, SyncStatus } from '@trueppm/sync'

/** One line for the user about everything. */
export function lineFor({ state, pending, lastSyncedAt, problem }: SyncStatus): string {
  const waiting = pending === 1 ? '1 edit waits' : `${pending} edits wait`
  if (state === 'syncing') return 'Syncing …'
  // Without a problem nothing was tried yet.
  if (state === 'offline' && problem) return `Offline. ${waiting}.`
  if (state === 'error') return problem?.status === 401 ? 'Please sign in again.' : `${problem?.detail} ${waiting}.`
  if (lastSyncedAt === null) return 'Not synced yet.'
  return pending ? `${waiting}.` : 'Everything is on the server.'
}

/** Whether the project may be shown. During its first sync only a part of it is there. */
export const isComplete = ({ state, lastSyncedAt, progress }: ProjectStatus): boolean =>
  state !== 'gone' && lastSyncedAt !== null && progress === null
