// A phone with the app on it: a database, and the client package that syncs it.

import { batch, computed, signal } from '@preact/signals'
import { createSync } from '@trueppm/sync'
import { renewedTokenOf, tokenOf } from './api.js'
import { createTask, deleteTask, Disk, rowsOf, schema, tables, updateTask, watermelon } from './database.js'
import { byOutline } from './outline.js'
import { liveUrl, socketsThatShow } from './poked.js'
import { bringsSomething, newsIn, nothingSent, withExchange } from './wire.js'
import { goneIn, problemIn } from './words.js'

const noRows = Object.fromEntries(tables.map((table) => [table, []]))
const notYet = { state: 'syncing', pending: 0, lastSyncedAt: null, progress: null, problem: null }
const keyOf = ({ table, id }) => `${table}/${id}`

export class Phone {
  online = signal(true)
  /** Whether the phone listens to the server: as an app does while it is in front. */
  live = signal(false)
  /** How it learns of changes: see infra/client/src/live.ts. */
  hears = signal('polling')
  /** The number of pokes that it got. */
  pokes = signal(0)
  user = signal('')
  /** Whether the app runs: it can be killed. */
  isRunning = signal(false)
  /** The package's status: see infra/client/src/status.ts. */
  status = signal(notYet)
  conflicts = signal([])
  rejected = signal([])
  aside = signal([])
  /** Rows with edits that the server has not confirmed: `{ table, id, status, changed, values, isSending, isGivenUp }`. */
  unsent = signal([])
  rows = signal(noRows)
  /** The version that the phone is complete up to. */
  mark = signal(0)
  /** What the last sync sent and pulled: see wire.js. */
  last = signal(null)
  /** Whether the checksum agrees: 'agrees', 'unknown', or the tables that differ. */
  agreement = signal('unknown')
  /** Whether the server has answered a request that it had done before. */
  wasRepeated = signal(false)
  #news = signal('')
  #asked = signal(0)
  #app
  #disk

  busy = computed(() => this.isRunning.value && (this.#asked.value > 0 || this.status.value.state === 'syncing'))
  size = computed(() => tables.reduce((sum, table) => sum + this.rows.value[table].length, 0))
  tasks = computed(() => {
    const states = this.#states.value
    return this.rows.value.tasks.map((task) => ({ ...task, pending: states.get(`tasks/${task.id}`) })).sort(byOutline)
  })
  /** What the user of the phone is told. */
  notice = computed(() => {
    const { state, problem } = this.status.value
    if (state === 'gone') return goneIn(this.user.value, problem)
    return state === 'error' ? problemIn(problem) : this.#news.value
  })
  /** The states of rows that are not as the server has them, by table and id. */
  #states = computed(
    () =>
      new Map([
        ...this.unsent.value.map((row) => [keyOf(row), row.isSending ? 'sending' : 'waiting']),
        ...this.rejected.value.map((edit) => [keyOf(edit), 'refused']),
        ...this.conflicts.value.map((conflict) => [keyOf(conflict), 'conflict']),
      ]),
  )

  constructor(name) {
    this.name = name
  }

  /** A new phone for a user and a project. */
  install(user, project) {
    this.#app?.end()
    this.#disk = new Disk()
    this.project = project
    batch(() => {
      this.user.value = user
      this.rows.value = noRows
      this.mark.value = 0
      this.last.value = null
      this.#news.value = ''
      this.agreement.value = 'unknown'
    })
    return this.start()
  }

  // ---- the app

  /** Starts the app. It syncs now, and from then on when there is reason to. */
  start() {
    const app = { isAlive: true, exchanges: nothingSent(), database: this.#disk.open() }
    app.sync = createSync({
      database: app.database,
      watermelon,
      schema,
      baseUrl: location.origin,
      token: ({ refresh }) => (refresh ? renewedTokenOf(this.user.value) : tokenOf(this.user.value)),
      projects: [this.project],
      network: (listener) => this.online.subscribe(listener),
      appState: (listener) => this.live.subscribe(listener),
      live: { url: liveUrl(), WebSocket: socketsThatShow(() => app.isAlive && (this.pokes.value += 1)) },
      fetch: (url, init) => this.#fetch(app, url, init),
    })
    const { status$, conflicts$, rejected$, aside$ } = app.sync
    const copied = (from, to) => from.subscribe((value) => (to.value = value))
    const told = status$.subscribe(({ projects, live }) => {
      this.hears.value = live
      this.#tell(app, projects[this.project] ?? notYet)
    })
    const subscriptions = [told, copied(conflicts$, this.conflicts), copied(rejected$, this.rejected), copied(aside$, this.aside)]
    const unsubscribe = app.database.experimentalSubscribe(tables, () => this.#look(app))
    app.hasEnded = new Promise((resolve) => {
      app.end = () => {
        app.isAlive = false
        for (const subscription of subscriptions) subscription.unsubscribe()
        unsubscribe()
        app.sync.stop()
        resolve()
      }
    })
    this.#app = app
    this.isRunning.value = true
    app.sync.start()
    return this.sync()
  }

  /** Ends the app as the system does it: without asking. What it had stored stays. */
  kill() {
    this.#app.end()
    this.#disk.close()
    this.isRunning.value = false
  }

  /** Kills the app at its next request that changes something: when the server has done it, and before the answer arrives. */
  killWhenSending() {
    this.#app.diesSending = true
  }

  // ---- the network

  setOnline(online) {
    this.online.value = online
    return this.sync()
  }

  async #fetch(app, url, init) {
    if (!this.online.value) throw new Error('the phone is offline')
    performance.clearResourceTimings()
    const started = performance.now()
    const response = await fetch(url, init)
    const text = await response.text()
    if (app.isAlive && app.diesSending && init.method !== 'GET') this.kill()
    // Nothing reaches an app that is dead, not even a failure.
    if (!app.isAlive) return new Promise(() => {})
    if (!this.online.value) throw new Error('the connection was lost')
    const { status, headers } = response
    const path = url.slice(location.origin.length)
    this.#hear(app, { ...init, path, user: this.user.value }, { status, headers, text, ms: performance.now() - started })
    return { status, headers, text: () => Promise.resolve(text) }
  }

  #hear(app, request, answer) {
    app.exchanges = withExchange(app.exchanges, request, answer)
    this.#news.value = newsIn(answer.text) || this.#news.value
    if (answer.headers.get('idempotent-replay')) this.wasRepeated.value = true
    // A sync that nobody asked for and that brings nothing is not shown.
    if (this.#asked.value || bringsSomething(app.exchanges)) this.last.value = app.exchanges
  }

  // ---- what the page shows

  #tell(app, status) {
    if (status.state === 'syncing' && this.status.value.state !== 'syncing') app.exchanges = nothingSent()
    this.status.value = status
    this.#look(app)
  }

  /** Reads what the phone holds, once more if it changes meanwhile. */
  #look(app) {
    app.isStale = true
    app.looking ??= this.#read(app)
    return app.looking
  }

  async #read(app) {
    await null // `looking` must be set first.
    while (app.isStale && app.isAlive) {
      app.isStale = false
      const rows = await rowsOf(app.database)
      const { projects } = await app.sync.report({ content: true })
      if (!app.isAlive) break
      batch(() => {
        this.rows.value = rows
        if (projects[0]) this.#show(app, projects[0])
      })
    }
    app.looking = undefined
  }

  #show(app, { mark, dirty, request, givenUp, checksums }) {
    const sending = new Set(request?.operations.map((operation) => operation.split(' ')[1]))
    this.mark.value = mark
    const isSyncing = this.status.value.state === 'syncing'
    this.unsent.value = dirty.map((row) => ({ ...row, isSending: isSyncing && sending.has(keyOf(row)), isGivenUp: keyOf(row) in givenUp }))
    if (isSyncing) return
    const expected = mark ? this.last.value?.checksum : undefined
    const differing = expected ? tables.filter((table) => String(checksums[table]) !== String(expected[table])) : []
    this.agreement.value = differing.length ? differing : expected ? 'agrees' : 'unknown'
  }

  // ---- what its user does

  /** Syncs now. With `anew`, pulls everything and replaces the phone's rows. Returns whether that succeeded. */
  async sync({ anew = false } = {}) {
    const app = this.#app
    if (!app.isAlive) return false
    this.#asked.value += 1
    this.#news.value = ''
    try {
      const status = await Promise.race([anew ? app.sync.repair(this.project) : app.sync.now(), app.hasEnded])
      if (status) await this.#look(app)
      return status?.projects[this.project]?.state === 'synced'
    } finally {
      this.#asked.value -= 1
    }
  }

  /** The user changes something; `fields` are fields of a task. */
  edit(method, id, fields) {
    const { database } = this.#app
    return this.#do(() => {
      if (method === 'POST') return createTask(database, this.project, id, fields)
      return method === 'DELETE' ? deleteTask(database, id) : updateTask(database, id, fields)
    })
  }

  resolve = (conflict, choice) => this.#do((sync) => sync.resolve(conflict, choice))
  discard = (edit) => this.#do((sync) => sync.discard(edit))
  restore = (edit) => this.#do((sync) => sync.restoreAside(edit))
  drop = (edit) => this.#do((sync) => sync.dropAside(edit))

  /** Carries out a decision on the phone, and then syncs. */
  async #do(work) {
    const app = this.#app
    try {
      await work(app.sync)
    } catch (error) {
      this.#news.value = error.problem?.detail ?? error.message
      return false
    }
    await this.#look(app)
    return this.sync()
  }

  /** Tells the phone of a change on the server, as a push message would. The page uses it where there are no WebSockets. */
  poke(version) {
    this.#app.sync.poke({ project: this.project, version })
  }
}
