// Decides when to sync. Attempts never overlap. A request during an attempt leads to another attempt afterwards.

/** Durations in milliseconds. */
export interface Pace {
  /** From a local change to the sync that sends it. */
  debounce: number
  /** Between two syncs that nothing triggers, on average. */
  poll: number
  /** Half of the longest pause after the first failure. It doubles with each further failure. */
  retry: number
  /** The longest pause after a failure. */
  maxRetry: number
}

export const DEFAULT_PACE: Pace = { debounce: 1_000, poll: 300_000, retry: 1_000, maxRetry: 300_000 }

/** The longest `Retry-After` in seconds that is followed. A timer of more than 24 days would fire at once. */
const MAX_ASKED = 3_600

/** Milliseconds that a server asked to wait; 0 if it asked for none. */
export const askedWait = (seconds: unknown): number => Math.min(Math.max(Number(seconds) || 0, 0), MAX_ASKED) * 1_000

/** A random pause after a failure: devices that failed at the same time must not all retry at the same time. Its bound doubles. */
export const pauseAfter = (failures: number, { retry, maxRetry }: Pick<Pace, 'retry' | 'maxRetry'>, random: () => number): number =>
  random() * Math.min(maxRetry, retry * 2 ** failures)

/** The result of an attempt. `retryAfter` is the number of seconds that the server asked to wait. */
export type Attempt = { failed: false } | { failed: true; retryAfter: number | undefined }

/** A clock that nobody can set. A device's date may be years off, and may be corrected at any time. */
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

  /** Syncs at once, unless the server asked to wait: on start, in the foreground, when the network is back. */
  soon(): void {
    this.#failures = 0
    this.#plan(0)
  }

  /** Syncs soon after a local change, so that changes right after it are included. After a failure, the planned attempt stays. */
  changed(): void {
    if (this.#failures === 0) this.#plan(this.#pace.debounce)
  }

  /** Syncs at a random time within this many milliseconds, because other devices are notified of the same change. */
  poked(within: number): void {
    this.#plan(this.#random() * within)
  }

  /** Plans the retry of a project that fails by itself. */
  retryIn(pause: number): void {
    this.#plan(pause)
  }

  /** Plans an attempt after a pause, unless an earlier one is planned. */
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
