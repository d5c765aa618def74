// When to sync. One attempt at a time; what comes during one makes another one afterwards.

/** Milliseconds. */
export interface Pace {
  /** From a local change to the sync that sends it. */
  debounce: number
  /** Between syncs of which nobody asked for one. */
  poll: number
  /** The first pause after a failure; it doubles. */
  retry: number
  /** The longest pause after a failure. */
  maxRetry: number
}

export const DEFAULT_PACE: Pace = { debounce: 1_000, poll: 300_000, retry: 1_000, maxRetry: 300_000 }

/** The longest wait in seconds that a server's `Retry-After` is believed. A timer of more than 24 days would fire at once. */
const MAX_ASKED = 3_600

/** Milliseconds that a server asked to wait; 0 if it asked for none. */
export const askedWait = (seconds: unknown): number => Math.min(Math.max(Number(seconds) || 0, 0), MAX_ASKED) * 1_000

/** A random pause, so that devices that failed together do not come back together. Its bound doubles with each failure. */
export const pauseAfter = (failures: number, { retry, maxRetry }: Pick<Pace, 'retry' | 'maxRetry'>, random: () => number): number =>
  random() * Math.min(maxRetry, retry * 2 ** failures)

/** What became of an attempt: nothing, or a failure and the seconds that the server asked to wait. */
export type Attempt = { failed: false } | { failed: true; retryAfter: number | undefined }

/** A clock that nobody sets: a device's date may be years off, and be put right at any time. */
export const clock = (): number => (typeof performance === 'undefined' ? Date.now() : performance.now())

export class Schedule {
  #timer: ReturnType<typeof setTimeout> | undefined
  #due = Infinity
  #failures = 0
  #notBefore = 0
  #isRunning = false
  #isStarted = false
  readonly #attempt: () => Promise<Attempt>
  readonly #pace: Pace
  readonly #random: () => number

  constructor(attempt: () => Promise<Attempt>, pace: Pace = DEFAULT_PACE, random: () => number = () => Math.random()) {
    this.#attempt = attempt
    this.#pace = pace
    this.#random = random
  }

  start(): void {
    this.#isStarted = true
    this.soon()
  }

  stop(): void {
    this.#isStarted = false
    this.#clear()
  }

  /** At once, unless the server asked to wait. On start, in the foreground, when the network is back. */
  soon(): void {
    this.#failures = 0
    this.#plan(0)
  }

  /** After a local change: together with those that follow at once. While the server fails, with the next attempt. */
  changed(): void {
    if (this.#failures === 0) this.#plan(this.#pace.debounce)
  }

  /** After word of a change on the server: not with all other devices that heard of it. */
  poked(within: number): void {
    this.#plan(this.#random() * within)
  }

  /** Once the pause of a project that failed by itself is over. */
  retryIn(pause: number): void {
    this.#plan(pause)
  }

  /** The earlier one of this plan and the one there is. */
  #plan(pause: number): void {
    if (!this.#isStarted) return
    const due = Math.max(clock() + pause, this.#notBefore)
    if (due >= this.#due) return
    this.#clear()
    this.#due = due
    this.#timer = setTimeout(() => void this.#run(), due - clock())
  }

  #clear(): void {
    clearTimeout(this.#timer)
    this.#due = Infinity
  }

  async #run(): Promise<void> {
    // A timer may fire a little early. Or this was planned before the server asked to wait.
    const left = Math.max(this.#due, this.#notBefore) - clock()
    this.#due = Infinity
    if (left > 0) return this.#plan(left)
    if (this.#isRunning) return this.#plan(this.#pace.debounce)
    this.#isRunning = true
    try {
      const outcome = await this.#attempt()
      this.#failures = outcome.failed ? this.#failures + 1 : 0
      const asked = outcome.failed ? askedWait(outcome.retryAfter) : 0
      this.#notBefore = asked ? clock() + asked : 0
      if (outcome.failed) this.#plan(asked + pauseAfter(this.#failures, this.#pace, this.#random))
      else this.#plan(this.#pace.poll * (0.5 + this.#random()))
    } finally {
      this.#isRunning = false
    }
  }
}
