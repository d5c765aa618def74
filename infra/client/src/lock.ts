// One tab at a time. LokiJS keeps a database in the memory of each tab: none sees what another one has written.

import type { DatabaseLike } from './watermelon.js'

/** What is used of the browser's `navigator.locks`. */
interface LocksLike {
  request(name: string, options: { ifAvailable: true }, work: (lock: unknown) => Promise<void> | undefined): Promise<unknown>
}

/** The lock of a database over all tabs. It ends with the tab, whatever becomes of that. */
export class TabLock {
  #granted: Promise<boolean> | undefined
  #ended: Promise<unknown> | undefined
  #release: (() => void) | undefined
  readonly #locks: LocksLike
  readonly #name: string

  constructor(locks: LocksLike, name: string) {
    this.#locks = locks
    this.#name = name
  }

  /** Answers whether this tab has it, now and until `release`. A tab that was refused stays so: what it has in memory is old. */
  hold(): Promise<boolean> {
    this.#granted ??= new Promise((resolve) => {
      const work = (lock: unknown): Promise<void> | undefined => {
        resolve(lock !== null)
        return lock === null ? undefined : new Promise((release) => (this.#release = release))
      }
      // A page that may use no locks, such as a sandboxed one, goes on without.
      this.#ended = this.#locks.request(this.#name, { ifAvailable: true }, work).catch(() => resolve(true))
    })
    return this.#granted
  }

  async release(): Promise<void> {
    if (!(await this.#granted)) return
    this.#release?.()
    await this.#ended
    this.#granted = undefined
  }
}

/** The lock of the database, where it needs one and there are some: in browsers. */
export function tabLockOf({ adapter }: DatabaseLike): TabLock | null {
  const { navigator, indexedDB } = globalThis as { navigator?: { locks?: LocksLike }; indexedDB?: unknown }
  // Node has locks, too. There, nothing is shared under the name of a database in memory.
  if (!navigator?.locks || !indexedDB || !adapter.dbName) return null
  return new TabLock(navigator.locks, `trueppm:${adapter.dbName}`)
}
