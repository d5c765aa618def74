// React hooks: each follows one of the observables.

import { useCallback, useSyncExternalStore } from 'react'
import type { AsideEdit, Conflict, Merged, Observable, Rejected, Sync, SyncStatus } from './index.js'

function useObservable<T>(observable: Observable<T>): T {
  const subscribe = useCallback(
    (changed: () => void) => {
      const subscription = observable.subscribe(changed)
      return () => subscription.unsubscribe()
    },
    [observable],
  )
  const value = (): T => observable.value
  return useSyncExternalStore(subscribe, value, value)
}

/** The status of each project and of all together. */
export const useSyncStatus = (sync: Sync): SyncStatus => useObservable(sync.status$)

/** Conflicts: show both values, and call `sync.resolve`. */
export const useConflicts = (sync: Sync): Conflict[] => useObservable(sync.conflicts$)

/** Edits that the server refused: show why, and let the user edit the row or call `sync.discard`. */
export const useRejected = (sync: Sync): Rejected[] => useObservable(sync.rejected$)

/** The last edits that the server merged with those of others. */
export const useMerged = (sync: Sync): Merged[] => useObservable(sync.merged$)

/** Unsent edits of rows that are gone. */
export const useAside = (sync: Sync): AsideEdit[] => useObservable(sync.aside$)
