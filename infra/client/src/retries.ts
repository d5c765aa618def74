// Projects that fail by themselves: each has a time of its own at which it is tried again, and holds up no other.

import { askedWait, clock, DEFAULT_PACE, pauseAfter } from './schedule.js'

interface Pause {
  /** How often in a row it failed. */
  failures: number
  dueAt: number
  /** Until then the server asked not to come back. */
  notBefore: number
}

export class Retries {
  /** Projects whose latest attempt failed, for whatever reason: the one that failed last is the last. */
  readonly #failed = new Set<string>()
  /** Those of them that failed by themselves. */
  readonly #pauses = new Map<string, Pause>()

  succeeded(project: string): void {
    this.#failed.delete(project)
    this.#pauses.delete(project)
  }

  failed(project: string): void {
    this.#failed.delete(project)
    this.#failed.add(project)
  }

  /** It failed by itself. It is due after a pause, which grows with each failure in a row. */
  pause(project: string, retryAfter: number | undefined): void {
    const failures = (this.#pauses.get(project)?.failures ?? 0) + 1
    const asked = askedWait(retryAfter)
    const notBefore = clock() + asked
    this.#pauses.set(project, { failures, dueAt: notBefore + pauseAfter(failures, DEFAULT_PACE, Math.random), notBefore })
  }

  /** Those that did not fail first. So a problem that keeps coming back keeps none of them from being synced. */
  inOrder(projects: Iterable<string>): string[] {
    const all = new Set(projects)
    const last = [...this.#failed].filter((id) => all.has(id))
    return [...[...all].filter((id) => !this.#failed.has(id)), ...last]
  }

  /** Whether its latest failures were its own. */
  has(project: string): boolean {
    return this.#pauses.has(project)
  }

  isPaused(project: string): boolean {
    return (this.#pauses.get(project)?.dueAt ?? 0) > clock()
  }

  mustWait(project: string): boolean {
    return (this.#pauses.get(project)?.notBefore ?? 0) > clock()
  }

  /** Milliseconds until the first one is due; null: none is paused. */
  nextIn(): number | null {
    if (!this.#pauses.size) return null
    return Math.max(0, Math.min(...[...this.#pauses.values()].map(({ dueAt }) => dueAt)) - clock())
  }

  /** Those whose pause is over. */
  due(): string[] {
    return [...this.#pauses.keys()].filter((id) => !this.isPaused(id))
  }
}
