// One tab at a time. LokiJS keeps a database in the memory of each tab, so no tab sees what another one has written.

import type { DatabaseLike } from './watermelon.js'

/** What is used of the browser's `navigator.locks`. */
interface LocksLike {
  request(name: string, options: { ifAvailable: true }, work: (lock: unknown) => Promise<never> | undefined): Promise<unknown>
}

/** Milliseconds after which a refused tab asks once more: after a reload, the lock of the page before may not be free yet. */
const ASK_AGAIN = 500

/** The answers for this tab, by the name of the lock. */
const answers = new WeakMap<LocksLike, Map<string, Promise<boolean>>>()

/**
 * Whether this tab is the one that may sync the database. Then it stays so until the tab is closed or reloaded, because its memory
 * would be old after another tab had written. A refused tab stays refused for the same reason. Always true outside of browsers.
 */
export function isOnlyTab({ adapter }: DatabaseLike): Promise<boolean> {
  const { navigator, indexedDB } = globalThis as { navigator?: { locks?: LocksLike }; indexedDB?: unknown }
  const locks = navigator?.locks
  // Node has locks, too. There, nothing is shared under the name of a database in memory.
  if (!locks || !indexedDB || !adapter.dbName) return Promise.resolve(true)
  const known = answers.get(locks) ?? new Map<string, Promise<boolean>>()
  answers.set(locks, known)
  const name = `trueppm:${adapter.dbName}`
  const answer = known.get(name) ?? lockOrAskAgain(locks, name)
  known.set(name, answer)
  return answer
}

async function lockOrAskAgain(locks: LocksLike, name: string): Promise<boolean> {
  if (await lock(locks, name)) return true
  await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN))
  return lock(locks, name)
}

/** Asks for the lock. If it is granted, it is kept until the tab is closed. */
function lock(locks: LocksLike, name: string): Promise<boolean> {
  return new Promise((resolve) => {
    const work = (granted: unknown): Promise<never> | undefined => {
      resolve(granted !== null)
      return granted === null ? undefined : new Promise(() => {})
    }
    // A page that may use no locks, such as a sandboxed one, goes on without.
    locks.request(name, { ifAvailable: true }, work).catch(() => resolve(true))
  })
}
