// Projects that fail by themselves: each has a time of its own at which it is tried again, and holds up no other.

import type { Problem } from './errors.js'
import { askedWait, clock, DEFAULT_PACE, pauseAfter } from './schedule.js'

/** Why something could not be synced, and the seconds that the server asked to wait. */
export interface Failure {
  problem: Problem
  retryAfter: number | undefined
}

/** What the attempt to sync one project says about the server. After an `outage` the other projects are not tried. */
export type Attempted = 'answered' | 'unanswered' | 'not asked' | 'outage'

/** Whether this is a problem of the device or of the caller. Every other project would fail in the same way. */
const isOfAll = ({ code, status }: Problem): boolean => ['storage_failed', 'two_instances'].includes(code) || status === 401 || status === 429

/** Codes with status 5xx that are about one project or one request. */
const OF_ONE_PROJECT = ['internal_error', 'not_proven', 'busy', 'outcome_unknown']

/**
 * Whether other projects may fail in the same way. One failure alone does not show it. `client_error` may be an error of the app's
 * `token`, and `http_…` an answer of a gateway or a proxy.
 */
const mayBeOfAll = ({ code, status = 0 }: Problem): boolean =>
  ['network', 'unreadable_answer', 'client_error'].includes(code) || code.startsWith('http_') || (status >= 500 && !OF_ONE_PROJECT.includes(code))

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

  /**
   * Decides whose failure it is: that of all, or of the project, which is then tried again by itself. `isReachable`: the server has
   * just answered for something else.
   */
  failed(project: string, { problem, retryAfter }: Failure, isReachable: boolean): Attempted {
    this.#failed.delete(project)
    this.#failed.add(project)
    const [isGeneral, failsAlone] = [mayBeOfAll(problem), this.#pauses.has(project)]
    if (isOfAll(problem) || (isGeneral && !isReachable && !failsAlone)) return 'outage'
    this.#pause(project, retryAfter)
    if (!isGeneral) return 'answered'
    return failsAlone ? 'not asked' : 'unanswered'
  }

  /** The project is due after a pause, which grows with each failure in a row. */
  #pause(project: string, retryAfter: number | undefined): void {
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
