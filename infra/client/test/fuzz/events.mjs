// Everything that a device waits for is an event: a call of its adapter, a request on its way, an answer on its way. The
// seed decides which event comes next, and whether the app is killed first.

// In production mode WatermelonDB does not deep-freeze queries, which would take a third of the time.
process.env.NODE_ENV = 'production'

// WatermelonDB defers work with setTimeout(…, 0), which takes a millisecond. Here it takes one turn of the event loop.
const { setTimeout: later } = globalThis
globalThis.setTimeout = (callback, pause, ...args) => (pause ? later(callback, pause, ...args).unref() : setImmediate(callback, ...args))

const MAX_EVENTS = 100_000

const turn = () => new Promise((resolve) => setImmediate(resolve))

export class Events {
  waiting = []
  left = MAX_EVENTS

  constructor(random) {
    this.random = random
  }

  /** `owner` is one run of a device's app. Events of an earlier run never happen. */
  add(owner, run) {
    if (!owner.isOver) this.waiting.push({ owner, run })
  }

  drop(owner) {
    owner.isOver = true
    this.waiting = this.waiting.filter((event) => event.owner !== owner)
  }

  /** Runs everything that can go on without an event. */
  async settle() {
    await turn()
    for (let n = 0; n < 6 && !this.waiting.length; n += 1) await turn()
  }

  /** Runs one of the waiting events. Returns whether there was one. */
  async step() {
    await this.settle()
    if (!this.waiting.length) return false
    if ((this.left -= 1) < 0) throw new Error(`no end after ${MAX_EVENTS} events`)
    const [event] = this.waiting.splice(this.random.below(this.waiting.length), 1)
    await event.run()
    return true
  }

  /** Runs events until the promise is settled. */
  async until(promise) {
    let isDone = false
    const done = () => (isDone = true)
    promise.then(done, done)
    for (let idle = 0; !isDone; ) {
      idle = (await this.step()) ? 0 : idle + 1
      if (idle > 200) throw new Error('a device waits for something that never comes')
    }
    return promise
  }
}
