// The public interface: the projects of a database, when they are synced, what the app is told, and what its user decides.

import { Api } from './api.js'
import { decideConflict, decideWithValue, discardRefused, dropAside, finishRestores, restoreAside } from './decisions.js'
import { problemOf, SyncError } from './errors.js'
import type { Problem } from './errors.js'
import { Http, renewedOnce } from './http.js'
import type { Fetch, TokenSource } from './http.js'
import { Live } from './live.js'
import type { Change, LiveOptions } from './live.js'
import { isOnlyTab } from './lock.js'
import { Subject } from './observable.js'
import type { Observable } from './observable.js'
import { pendingElsewhere, Project } from './project.js'
import type { ProjectDeps } from './project.js'
import { reportOf, VERSION } from './report.js'
import type { Report, ReportOptions } from './report.js'
import { Retries } from './retries.js'
import type { Attempted, Failure } from './retries.js'
import { clock, DEFAULT_PACE, Schedule } from './schedule.js'
import type { Attempt } from './schedule.js'
import type { Merge } from './settle.js'
import { knownProjects, rememberProject } from './state.js'
import { asideOf, conflictsOf, overall, rejectedOf, stateOf } from './status.js'
import type { AsideEdit, Conflict, Merged, ProjectStatus, Rejected, SyncStatus } from './status.js'
import { tablesOf } from './tables.js'
import type { Value } from './values.js'
import type { DatabaseLike, SchemaLike, Watermelon } from './watermelon.js'

/** Reports whether something is on: the network, or the app being in the foreground. Returns a function that unsubscribes. */
export type Signal = (listener: (isOn: boolean) => void) => () => void

export interface SyncOptions {
  database: DatabaseLike
  /** `{ Q, synchronize }` of the WatermelonDB that made the database. */
  watermelon: Watermelon
  /** The server's schema: `schema` of the generated `trueppm.ts`. */
  schema: SchemaLike
  /** The server's URL, without `/api/v1`. */
  baseUrl: string
  token: TokenSource
  /** The ids of the projects to sync, or all that the user is a member of. */
  projects: 'mine' | readonly string[]
  /** Tells whether there is a network. A sync starts when it comes back. */
  network?: Signal
  /** Tells whether the app is in the foreground. A sync starts when the app comes to the foreground. */
  appState?: Signal
  fetch?: Fetch
  /** Listens to the server's WebSocket, and pulls when a project changes. Without this option the package polls. */
  live?: LiveOptions
}

export interface Sync {
  readonly status$: Observable<SyncStatus>
  readonly conflicts$: Observable<Conflict[]>
  readonly rejected$: Observable<Rejected[]>
  readonly aside$: Observable<AsideEdit[]>
  /** The latest edits that the server merged with those of others, the newest first. */
  readonly merged$: Observable<Merged[]>
  /** Starts syncing automatically: now, after changes, when the network or the app is back, and at intervals. */
  start(): void
  /** Syncs once, whether started or not. Never throws: the returned status has the result. */
  now(): Promise<SyncStatus>
  /** Ends what `start` began, after the sync that is in progress. */
  stop(): Promise<void>
  /** Pulls the project of a change after a random delay. Call it when a push message, for example, tells of a change. */
  poke(change: Change): void
  /** Pulls a whole project again and replaces its rows on the device. Unsent edits stay. */
  repair(project: string): Promise<SyncStatus>
  /** Settles a conflict: the user's value, the server's, or another one. */
  resolve(conflict: Conflict, choice: 'mine' | 'theirs' | { value: Value }): Promise<void>
  /** Gives up a refused edit: the next sync brings the server's values. */
  discard(edit: Rejected): Promise<void>
  /** Makes a new row of an edit that was set aside, in its project or another one. */
  restoreAside(edit: AsideEdit, into?: { project: string }): Promise<void>
  dropAside(edit: AsideEdit): Promise<void>
  /** All edits that were set aside, as JSON for a file. */
  exportAside(): string
  /**
   * A JSON document for a bug report. It has nothing that the user wrote, unless `content` is set. With `rows` it names each row
   * and its version.
   */
  report(options?: ReportOptions): Promise<Report>
}

/** Milliseconds within which the devices pull that are notified of the same change. */
const POKE_WITHIN = 2_000
/** The same for notifications over the WebSocket, which the server paces. */
const LIVE_WITHIN = 300
/** Milliseconds from a change in the database to counting what is unsent. */
const COUNT_AFTER = 100
const MAX_PROBLEMS = 20
const MAX_MERGES = 50

/** For each database, the instance that may sync it. */
const owners = new WeakMap<DatabaseLike, DatabaseSync>()

/** Creates the instance that syncs the projects of a WatermelonDB database with the server. Create one for each database. */
export function createSync(options: SyncOptions): Sync {
  return new DatabaseSync(options)
}

class DatabaseSync implements Sync {
  readonly status$ = new Subject<SyncStatus>(overall({}, { problem: null, live: 'polling', isListed: false, elsewhere: 0 }))
  readonly conflicts$ = new Subject<Conflict[]>([])
  readonly rejected$ = new Subject<Rejected[]>([])
  readonly aside$ = new Subject<AsideEdit[]>([])
  readonly merged$ = new Subject<Merged[]>([])
  readonly #options: SyncOptions
  readonly #http: Http
  readonly #api: Api
  readonly #deps: ProjectDeps
  readonly #schedule = new Schedule(() => this.#scheduled())
  readonly #retries = new Retries()
  readonly #projects = new Map<string, Project>()
  readonly #told = new Map<string, { pending: number; problem: Problem | null; tried: boolean }>()
  readonly #problems: Report['problems'] = []
  /** The projects of the next scheduled sync. Empty means all projects. */
  readonly #wanted = new Set<string>()
  /** The time from which on a scheduled sync is for all projects, whatever it was planned for. */
  #allDueAt = 0
  #starts = 0
  #subscriptions: (() => void)[] = []
  #loaded: Promise<void> | undefined
  #isLoaded = false
  /** Whether the server or the app has named the projects to sync. */
  #isListed = false
  /** The number of rows with unsent edits in projects that the server has not named yet. */
  #elsewhere = 0
  #turn: Promise<unknown> = Promise.resolve()
  #running: string | null = null
  /** What ended the latest sync, or keeps the device from counting. */
  #outage: Failure | null = null
  #counter: ReturnType<typeof setTimeout> | undefined
  readonly #live: Live | null
  readonly #token: TokenSource
  readonly #isOnlyTab: Promise<boolean>

  constructor(options: SyncOptions) {
    const { database, watermelon, schema, baseUrl, token } = options
    this.#options = options
    const tables = tablesOf(schema, database.schema as SchemaLike)
    const fetch: Fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init))
    this.#token = renewedOnce(token)
    this.#http = new Http(baseUrl, this.#token, fetch)
    this.#api = new Api(this.#http, tables)
    const merged: ProjectDeps['merged'] = (project, merges) => this.#noteMerges(project, merges)
    this.#deps = { database, watermelon, tables, api: this.#api, newKey, changed: () => this.#tell(), merged }
    this.#live = options.live ? this.#liveOf(options.live) : null
    claim(database, this)
    this.#isOnlyTab = isOnlyTab(database)
  }

  // ---- when

  start(): void {
    if (this.#subscriptions.length) return
    const { database, network, appState } = this.#options
    claim(database, this)
    this.#starts += 1
    this.#allDueAt = 0
    const tables = [...this.#deps.tables.keys()] as never[]
    this.#subscriptions.push(database.experimentalSubscribe(tables, () => this.#countSoon()))
    for (const [name, signal] of Object.entries({ network, appState }) as ['network' | 'appState', Signal | undefined][]) {
      const wake = (isOn: boolean): void => {
        this.#live?.signal(name, isOn)
        if (!isOn) return
        this.#allDueAt = 0
        this.#schedule.soon()
      }
      if (signal) this.#subscriptions.push(signal(wake))
    }
    this.#schedule.start()
    this.#live?.start()
  }

  async stop(): Promise<void> {
    this.#schedule.stop()
    this.#live?.stop()
    clearTimeout(this.#counter)
    for (const unsubscribe of this.#subscriptions.splice(0)) unsubscribe()
    const starts = this.#starts
    await this.#turn
    const { database } = this.#options
    if (starts === this.#starts && owners.get(database) === this) owners.delete(database)
  }

  async now(): Promise<SyncStatus> {
    await this.#alone(() => this.#syncAll(null))
    return this.status$.value
  }

  async repair(project: string): Promise<SyncStatus> {
    await this.#alone(async () => {
      await this.#load()
      await this.#attempt(await this.#open(project), false, async (it) => {
        await it.sync(true, true)
        return true
      })
    })
    return this.status$.value
  }

  poke(change: Change): void {
    this.#poked(change, POKE_WITHIN)
  }

  #poked({ project, version }: Change, within: number): void {
    const known = this.#projects.get(project)
    if (!known || known.store.state.mark >= version) return
    this.#wanted.add(project)
    this.#schedule.poked(within)
  }

  #liveOf(options: LiveOptions): Live {
    return new Live(options, {
      token: this.#token,
      projects: () => this.#watchable(),
      moved: (change) => this.#heard(change),
      // The pull finds out why they were refused.
      refused: (projects) => projects.forEach((project) => this.#heard({ project, version: Infinity })),
      changed: () => this.#tell(),
    })
  }

  /** Handles a notification over the WebSocket. It does not shorten a pause after a failure: pokes may come while pulls fail. */
  #heard(change: Change): void {
    const { code = 'network' } = this.#outage?.problem ?? this.#told.get(change.project)?.problem ?? {}
    if (code === 'network') this.#poked(change, LIVE_WITHIN)
  }

  /** The projects that are synced and that the user may see. */
  #watchable(): string[] {
    const { projects } = this.#options
    const live = [...this.#projects.values()].filter(({ store }) => store.state.status === 'live').map(({ id }) => id)
    return projects === 'mine' ? live : live.filter((id) => projects.includes(id))
  }

  /** Runs one task after the other, never two at a time. Returns what kept the task from being done. */
  #alone(work: () => Promise<void>): Promise<Failure | null> {
    const done = this.#turn.then(async () => {
      this.#outage = null
      try {
        expectFree(this.#options.database, this)
        if (!(await this.#isOnlyTab)) throw new SyncError('two_instances', 'Another tab syncs this database. Close that tab, then reload this one.')
        await work()
      } catch (error) {
        this.#outage = failureOf(error, this.#note(null, error))
      }
      this.#running = null
      await this.#count()
      // After an outage the next sync is for all.
      const next = this.#outage ? null : this.#retries.nextIn()
      if (next !== null) this.#schedule.retryIn(next)
      return this.#outage
    })
    this.#turn = done
    return done
  }

  async #scheduled(): Promise<Attempt> {
    for (const id of this.#retries.due()) this.#wanted.add(id)
    const isForAll = !this.#wanted.size || clock() >= this.#allDueAt
    const wanted = isForAll ? null : new Set(this.#wanted)
    this.#wanted.clear()
    if (isForAll) this.#allDueAt = clock() + DEFAULT_PACE.poll
    const outage = await this.#alone(() => this.#syncAll(wanted, (id) => !this.#retries.mustWait(id)))
    // What this one was for is still to be done.
    if (outage) this.#allDueAt = 0
    return outage ? { failed: true, retryAfter: outage.retryAfter } : { failed: false }
  }

  async #syncAll(only: Set<string> | null, mayTry: (id: string) => boolean = () => true): Promise<void> {
    await this.#load()
    const { projects } = this.#options
    const heads = projects === 'mine' && !only ? await this.#api.heads() : null
    const mine = projects === 'mine' ? (only ? [] : heads ? [...heads.keys()] : await this.#api.projects()) : projects
    for (const id of mine) await this.#open(id)
    if (!only) this.#isListed = true
    const known = projects === 'mine' ? [...this.#projects.keys()] : projects
    // Once the server has answered, what fails next may be the project's own.
    let isReachable = projects === 'mine' && !only
    for (const id of this.#retries.inOrder(only ?? known)) {
      const project = this.#projects.get(id)
      if (!project || !mayTry(id)) continue
      const attempted = await this.#attempt(project, isReachable, async (it) => {
        if (await it.isAt(heads?.get(id))) return false
        await it.sync(!only && mine.includes(id))
        return true
      })
      if (attempted === 'outage') return
      if (attempted !== 'not asked') isReachable = attempted === 'answered'
    }
  }

  /** `isReachable`: the server has just answered for something else. `work` returns whether it sent a request. */
  async #attempt(project: Project, isReachable: boolean, work: (project: Project) => Promise<boolean>): Promise<Attempted> {
    const told = this.#toldOf(project.id)
    this.#running = project.id
    this.#tell()
    try {
      const hasAsked = await work(project)
      told.problem = null
      this.#retries.succeeded(project.id)
      return hasAsked ? 'answered' : 'not asked'
    } catch (error) {
      told.problem = this.#note(project.id, error)
      const failure = failureOf(error, told.problem)
      const attempted = this.#retries.failed(project.id, failure, isReachable)
      if (attempted === 'outage') this.#outage = failure
      return attempted
    } finally {
      told.tried = true
      this.#running = null
    }
  }

  #note(project: string | null, error: unknown): Problem {
    const problem = problemOf(error)
    this.#problems.unshift({ at: Date.now(), project, code: problem.code, detail: problem.detail })
    this.#problems.splice(MAX_PROBLEMS)
    return problem
  }

  #noteMerges(project: string, merges: Merge[]): void {
    const noted = merges.map((merge) => ({ project, ...merge, at: Date.now() }))
    this.merged$.set([...noted.reverse(), ...this.merged$.value].slice(0, MAX_MERGES))
  }

  // ---- projects

  #load(): Promise<void> {
    this.#loaded ??= this.#loadAll().catch((error: unknown) => {
      this.#loaded = undefined
      throw error
    })
    return this.#loaded
  }

  async #loadAll(): Promise<void> {
    for (const id of await knownProjects(this.#options.database)) await this.#open(id)
    for (const { context } of this.#projects.values()) await finishRestores(context, (id) => this.#projects.get(id)?.context)
    this.#isLoaded = true
    this.#tell()
  }

  async #open(id: string): Promise<Project> {
    const known = this.#projects.get(id)
    if (known) return known
    await rememberProject(this.#options.database, id)
    const project = new Project(id, this.#deps)
    await project.store.load()
    this.#projects.set(id, project)
    return project
  }

  async #known(id: string): Promise<Project> {
    await this.#load()
    const project = this.#projects.get(id)
    if (!project) throw new SyncError('unknown_project', `There is no project ${id} in this database.`)
    return project
  }

  // ---- what the app is told

  #toldOf(id: string): { pending: number; problem: Problem | null; tried: boolean } {
    const told = this.#told.get(id) ?? { pending: 0, problem: null, tried: false }
    this.#told.set(id, told)
    return told
  }

  #countSoon(): void {
    if (!this.#subscriptions.length) return
    clearTimeout(this.#counter)
    this.#counter = setTimeout(() => {
      if (!this.#running) void this.#count()
    }, COUNT_AFTER)
  }

  /** Counts the unsent edits, and schedules a sync if some of them can be sent now. */
  async #count(): Promise<void> {
    try {
      for (const project of this.#projects.values()) {
        if (project.store.state.status !== 'live') continue
        const { pending, sendable } = await project.survey()
        this.#toldOf(project.id).pending = pending
        if (sendable.length) this.#syncSoon(project.id)
      }
      const mayBeNamed = this.#options.projects === 'mine' && this.#isLoaded && !this.#isListed
      this.#elsewhere = mayBeNamed ? await pendingElsewhere(this.#deps, this.#projects) : 0
    } catch (error) {
      this.#outage = failureOf(error, this.#note(null, error))
    }
    this.#tell()
  }

  #tell(): void {
    const projects = [...this.#projects.values()]
    const states = Object.fromEntries(projects.map((project) => [project.id, this.#statusOf(project)]))
    const [problem, live, isListed, elsewhere] = [this.#outage?.problem ?? null, this.#live?.state ?? 'polling', this.#isListed, this.#elsewhere]
    this.status$.set(overall(states, { problem, live, isListed, elsewhere }))
    this.conflicts$.set(projects.flatMap(conflictsOf))
    this.rejected$.set(projects.flatMap(rejectedOf))
    this.aside$.set(projects.flatMap(asideOf))
    this.#live?.follow()
  }

  #statusOf({ id, store, progress }: Project): ProjectStatus {
    const { pending, problem, tried } = this.#toldOf(id)
    const { lastSyncedAt, status, reason } = store.state
    if (status === 'gone') {
      const gone = { code: reason ?? 'not_a_member', detail: 'The project was deleted, or the user is no member any more.' }
      return { state: 'gone', pending: 0, lastSyncedAt, progress: null, problem: gone }
    }
    const rest = problem ? stateOf(problem) : tried || lastSyncedAt !== null ? 'synced' : 'offline'
    return { state: this.#running === id ? 'syncing' : rest, pending, lastSyncedAt, progress, problem }
  }

  async report(options: ReportOptions = {}): Promise<Report> {
    await this.#load()
    const projects = await Promise.all([...this.#projects.values()].map((project) => reportOf(project, options)))
    return {
      client: VERSION,
      schemaVersion: (this.#options.database.schema as SchemaLike).version,
      at: Date.now(),
      clockSkew: this.#http.clockSkew,
      status: this.status$.value,
      problems: [...this.#problems],
      live: this.#live?.report() ?? null,
      merged: this.merged$.value,
      projects,
    }
  }

  // ---- what the user decides

  async resolve(conflict: Conflict, choice: 'mine' | 'theirs' | { value: Value }): Promise<void> {
    const { context } = await this.#known(conflict.project)
    if (typeof choice === 'string') await decideConflict(context, conflict, choice)
    else if (conflict.field !== null) await decideWithValue(context, conflict, conflict.field, choice.value)
    else throw new SyncError('no_such_choice', 'A deletion is settled with "mine" or "theirs".')
    this.#syncSoon(conflict.project)
    this.#countSoon()
  }

  async discard({ project, table, id }: Rejected): Promise<void> {
    await discardRefused((await this.#known(project)).context, table, id)
    this.#syncSoon(project)
  }

  #syncSoon(project: string): void {
    if (this.#retries.isPaused(project)) return
    this.#wanted.add(project)
    this.#schedule.changed()
  }

  async restoreAside({ project, key }: AsideEdit, into: { project: string } = { project }): Promise<void> {
    const from = await this.#known(project)
    await restoreAside(from.context, (await this.#known(into.project)).context, key, newId)
  }

  async dropAside({ project, key }: AsideEdit): Promise<void> {
    await dropAside((await this.#known(project)).context, key)
  }

  exportAside(): string {
    return JSON.stringify(this.aside$.value, null, 2)
  }
}

const failureOf = (error: unknown, problem: Problem): Failure => ({
  problem,
  retryAfter: error instanceof SyncError ? error.retryAfter : undefined,
})

/** Makes this instance the only one that syncs the database. Two would each send what the other has sent. */
function claim(database: DatabaseLike, sync: DatabaseSync): void {
  expectFree(database, sync)
  owners.set(database, sync)
}

function expectFree(database: DatabaseLike, sync: DatabaseSync): void {
  if ((owners.get(database) ?? sync) !== sync) throw new SyncError('two_instances', 'Another instance syncs this database already. Stop it first.')
}

const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** A random text of letters and digits. It uses the platform's `crypto` if there is one, which not every React Native has. */
function randomText(length: number): string {
  const numbers = new Uint32Array(length)
  if (typeof crypto !== 'undefined' && crypto.getRandomValues) crypto.getRandomValues(numbers)
  else for (let at = 0; at < length; at += 1) numbers[at] = Math.floor(Math.random() * 2 ** 32)
  return Array.from(numbers, (number) => ALPHABET[number % ALPHABET.length]).join('')
}

const newKey = (): string => randomText(24)
const newId = (): string => randomText(16)
