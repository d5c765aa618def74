// One world: a server, two or three devices, a user at a browser, and everything that goes wrong, in an order that the seed
// says. At the end everything works again, and all have to agree.

import { Q } from '@nozbe/watermelondb'
import { answer } from '../mock/http.mjs'
import { MockServer, TABLES } from '../mock/server.mjs'
import { complaints, Device } from './device.mjs'
import { Events } from './events.mjs'
import { comparable, Judge, Memory } from './judge.mjs'
import { Random } from './random.mjs'

const PROJECTS = ['p', 'q']
const NO_FAULTS = { lost: 0, busy: 0, late: 0, garbled: 0 }
/** What one sync may take at most. */
const MAX_REQUESTS = 150
/** The same if nothing has changed: a list of projects, and a pull of each. */
const IDLE_REQUESTS = 3
/** How a project fails that cannot be served for a while: some answers say whose failure it is, and some do not. */
const ILLNESSES = {
  internal_error: { status: 500, text: '{"status":500,"code":"internal_error","detail":"a row is corrupt"}' },
  not_proven: { status: 503, text: '{"status":503,"code":"not_proven","detail":"not proven complete"}' },
  unavailable: { status: 503, text: '{"status":503,"code":"unavailable","detail":"no database"}' },
  http_504: { status: 504, text: '{"message":"Endpoint request timed out"}' },
  http_404: { status: 404, text: 'no such page' },
  unreadable_answer: { status: 200, text: '{"changes":' },
  network: null,
}

export class World {
  violations = []
  stats = { actions: 0, restores: 0, churn: 0, conflicts: 0, rejected: 0, aside: 0 }

  constructor(seed, { createSync, apps, adapter, actions = 60 }) {
    this.seed = seed
    this.random = new Random(seed)
    const { random } = this
    this.judge = new Judge()
    this.server = new MockServer({ limit: 4, pageSize: 3 + random.below(6), judge: this.judge, random: () => random.next() })
    this.server.tokens = 0
    this.events = new Events(random)
    this.ill = this.#illness(new Random(seed + 2 ** 30))
    this.faults = random.chance(0.15) ? { ...NO_FAULTS } : { lost: 0.06, busy: 0.03, late: 0.15, garbled: 0.02 }
    this.actions = actions
    this.apps = apps
    this.names = 0
    this.backups = []
    for (const id of PROJECTS) this.server.create(id, 'web')
    this.memories = new Map()
    this.devices = ['ann', 'bob'].map((user) => {
      for (const project of this.projects) this.server.join(project, user, random.pick([100, 200, 300]))
      this.memories.set(user, new Memory(user))
      const device = new Device({
        name: user, user, random, createSync, events: this.events, faults: this.faults,
        ...this.#connection(user),
        adapter: adapter === 'both' ? random.pick(['loki', 'loki', 'sqlite']) : adapter,
        schemas: random.chance(0.1) ? apps.before : apps.today,
        projects: random.chance(0.3) ? 'mine' : PROJECTS,
      })
      device.onShow = ({ projects }) => {
        const half = Object.values(projects).find(({ progress, lastSyncedAt }) => progress && lastSyncedAt !== null)
        if (half) this.violation('g', `${user} is shown a delta by halves`)
      }
      device.sync.status$.subscribe(device.onShow)
      return device
    })
    for (const device of this.devices) device.onAnswer = () => this.judge.commit(this.memories)
    this.judge.commit(this.memories)
    this.busy = new Map()
    complaints.length = 0
  }

  /** What a device has of the server: a token that may have expired, and requests. */
  #connection(user) {
    let serial = 0
    return {
      token: ({ refresh }) => {
        if (refresh) serial = this.server.tokens
        return `${user}#${serial}`
      },
      transport: (url, init) => this.#fails(url) ?? answer(this.server, url, init, (token) => Number(token.split('#')[1]) === this.server.tokens),
    }
  }

  /** In some worlds one project cannot be served, from some action on until all is well again. */
  #illness(random) {
    if (!random.chance(0.15)) return null
    return { project: random.pick(PROJECTS), code: random.pick(Object.keys(ILLNESSES)), from: random.below(60) }
  }

  #fails(url) {
    if (!this.ill || this.stats.actions < this.ill.from || !new URL(url).pathname.startsWith(`/api/v1/projects/${this.ill.project}/`)) return undefined
    const illness = ILLNESSES[this.ill.code]
    if (!illness) throw new Error('no answer in time')
    return { headers: {}, ...illness }
  }

  get projects() {
    return [...this.server.projects.values()]
  }

  violation(letter, text) {
    this.judge.violation(letter, text)
  }

  unique(prefix) {
    return `${prefix}${(this.names += 1)}`
  }

  /** Plays it. Answers the violations. */
  async play() {
    try {
      let left = this.actions
      while (left > 0 && !this.judge.violations.length) {
        if (this.random.chance(0.12)) {
          left -= 1
          this.stats.actions += 1
          await this.#act()
        } else if (!(await this.events.step())) {
          left -= 1
          await this.#act()
        }
      }
      if (!this.judge.violations.length) await this.#heal()
    } catch (error) {
      this.violation('x', error.stack ?? String(error))
    }
    for (const device of this.devices) device.adapter.close(device.storage, device.real)
    if (complaints.length) this.violation('f', `the console says ${complaints.splice(0).join('; ')}`)
    return this.judge.violations
  }

  async #act() {
    const action = this.random.weighed({ edit: 36, sync: 26, web: 20, decide: 10, kill: 8, late: 4, churn: 1.5, restore: 0.7, token: 1 })
    if (action === 'web') return this.#web()
    if (action === 'churn') return this.#churn()
    if (action === 'restore') return this.#restore()
    if (action === 'token') return void (this.server.tokens += 1)
    const device = this.random.pick(this.devices)
    if (action === 'late') return device.arriveLate()
    if (action === 'kill') return this.#kill(device)
    if (process.env.TRACE) console.log(action, device.name, device.lives)
    const running = this.busy.get(device.life) ?? new Map()
    this.busy.set(device.life, running)
    const kind = action === 'sync' ? 'sync' : 'user'
    if (running.has(kind)) return undefined
    const work = { edit: () => this.#edit(device), sync: () => this.#sync(device), decide: () => this.#decide(device) }[action]
    const promise = work().catch((error) => {
      if (device.life.number === device.lives && error.name !== 'SyncError') this.violation('x', `${action}: ${error.stack}`)
    })
    running.set(kind, promise)
    void promise.then(() => running.delete(kind))
    return undefined
  }

  #kill(device) {
    if (device.schemas === this.apps.before && this.random.chance(0.5)) this.#updateApp(device)
    device.kill()
  }

  #updateApp(device) {
    device.schemas = this.apps.today
    this.memories.get(device.user).newColumns.add('notes')
  }

  async #sync(device) {
    const { life } = device
    const before = device.stats.requests
    const status = await device.sync.now()
    if (device.stats.requests - before > MAX_REQUESTS) this.violation('e', `${device.name} took ${device.stats.requests - before} requests`)
    if (status.problem?.code === 'client_error') this.violation('x', status.problem.detail)
    if (['schema_mismatch', 'two_instances', 'storage_failed'].includes(status.problem?.code)) this.violation('x', status.problem.detail)
    if (life === device.life) this.#look(device)
    return status
  }

  /** The user reads what the device says of edits. */
  #look(device) {
    const memory = this.memories.get(device.user)
    for (const conflict of device.sync.conflicts$.value) {
      this.stats.conflicts += 1
      this.judge.judgeConflict(memory, conflict)
    }
    for (const rejected of device.sync.rejected$.value) {
      this.stats.rejected += 1
      this.judge.judgeRejected(memory, rejected)
    }
    this.stats.aside += device.sync.aside$.value.length
  }

  // ---- the user at a browser, and those who run the server

  #web() {
    const project = this.projects[this.random.chance(0.8) ? 0 : 1]
    const live = [...project.rows.values()].filter(({ deleted, table }) => !deleted && table !== 'memberships' && table !== 'projects')
    const row = live.length ? this.random.pick(live) : undefined
    const what = row ? this.random.weighed({ add: live.length < 4 ? 20 : 5, edit: 70, delete: 10, settings: 5 }) : 'add'
    const request = (method, table, id, body) => {
      try {
        this.server.single('web', project.id, this.unique('key'), method, table, id, body, {})
      } catch (error) {
        if (!error.problem) throw error
      }
    }
    const id = this.unique('w')
    if (what === 'settings') request('PATCH', 'projects', project.id, { description: this.unique('about ') })
    else if (what === 'delete') request('DELETE', row.table, row.id)
    else if (what === 'edit') this.#webEdit(project, row, request)
    else if (this.random.chance(0.15)) request('POST', 'calendars', id, { id, name: this.unique('Calendar ') })
    else request('POST', 'tasks', id, { id, name: this.unique('Task '), duration: 1 + this.random.below(3) })
    this.judge.commit(this.memories)
  }

  /** Often changes what somebody has just edited on a device, because that causes conflicts. */
  #webEdit(project, row, request) {
    const hot = this.hot?.project === project.id && project.live('tasks', this.hot.id) && this.random.chance(0.6) ? this.hot : null
    if (!hot) return request('PATCH', row.table, row.id, this.#change(row.table))
    return request('PATCH', 'tasks', hot.id, this.#value(this.random.pick(hot.columns)))
  }

  #value(column) {
    if (column === 'percent_complete') return { percent_complete: this.random.below(4) * 10 }
    if (column === 'duration' || column === 'is_milestone') return { duration: this.random.below(4) }
    return { [column]: this.unique(`web ${column} `) }
  }

  /** A change of a row, as REST takes it. */
  #change(table) {
    if (table === 'dependencies') return { lag: this.random.below(4) }
    if (table === 'calendars') return this.random.chance(0.5) ? { name: this.unique('Calendar ') } : { exceptions: [{ start: '2026-01-01', end: `2026-01-0${1 + this.random.below(5)}` }] }
    return this.random.pick([
      () => ({ name: this.unique('web ') }),
      () => ({ notes: this.unique('web notes ') }),
      () => ({ percent_complete: this.random.below(4) * 10 }),
      () => ({ duration: this.random.below(4) }),
      () => ({ name: this.unique('web '), notes: this.unique('web notes ') }),
    ])()
  }

  #churn() {
    const project = this.random.pick(this.projects)
    const { user } = this.random.pick(this.devices)
    this.stats.churn += 1
    if (project.live('memberships', `${project.id}-${user}`)) this.server.leave(project, user)
    else this.server.join(project, user, this.random.pick([1, 100, 200, 300]))
    this.judge.commit(this.memories)
  }

  #restore() {
    const project = this.random.pick(this.projects)
    const backup = this.backups.find(({ id }) => id === project.id)
    if (!backup || this.random.chance(0.5)) {
      this.backups = [...this.backups.filter(({ id }) => id !== project.id), { id: project.id, text: this.server.backup(project) }]
      return
    }
    this.stats.restores += 1
    this.judge.wasRestored = true
    this.server.restore(project, backup.text)
  }

  // ---- the user of a device

  async #edit(device) {
    const { random } = this
    const project = random.chance(0.8) ? 'p' : 'q'
    const table = random.weighed({ tasks: 75, dependencies: 11, calendars: 7, projects: 4, memberships: 3 })
    const memory = this.memories.get(device.user)
    const { database } = device
    await database.write(async () => {
      const known = device.sync.status$.value.projects[project]
      if (device.projects === 'mine' ? !known : known?.state === 'gone' && random.chance(0.9)) return
      const rows = await shown(database, table, project)
      const row = rows.length ? random.pick(rows) : null
      const what = row ? random.weighed({ create: rows.length < 3 ? 30 : 8, update: 60, delete: 10 }) : 'create'
      if (what === 'create') return this.#create(device, database, memory, project, table)
      memory.show(table, row._raw)
      memory.projectOf.set(`${table}/${row.id}`, project)
      if (what === 'delete') return this.#delete(memory, table, row)
      return this.#update(device, memory, table, row)
    })
  }

  async #create(device, database, memory, project, table) {
    const { random } = this
    if (table === 'projects' || table === 'memberships') return
    const id = this.unique(device.name)
    const fields = { id, project, server_version: 0, base_version: null }
    if (table === 'tasks') {
      const duration = random.below(3)
      Object.assign(fields, {
        name: random.chance(0.1) ? this.unique('bad ') : this.unique('Task '), wbs_path: null, duration, percent_complete: 0, notes: '', planned_start: null,
        status: 'NOT_STARTED', is_milestone: random.chance(0.95) ? duration === 0 : true, assignee: random.chance(0.1) ? random.pick(['ann', 'bob', 'nobody']) : null,
        optimistic_duration: null, most_likely_duration: null, pessimistic_duration: null, is_open: random.chance(0.5),
      })
      if (!device.schemas.schema.tables.tasks.columns.notes) delete fields.notes
    } else if (table === 'calendars') {
      Object.assign(fields, { name: this.unique('Calendar '), working_days: 31, hours_per_day: 8, timezone: 'UTC', exceptions: random.pick(['[]', '[{"start": "2026-05-01", "end": "2026-05-01"}]', 'none']) })
    } else {
      const tasks = await shown(database, 'tasks', project)
      if (tasks.length < 2) return
      const [predecessor, successor] = [random.pick(tasks).id, random.pick(tasks).id]
      Object.assign(fields, { predecessor, successor, dep_type: 'FS', lag: 0 })
    }
    memory.projectOf.set(`${table}/${id}`, project)
    memory.show(table, fields)
    memory.begin(table, id, TABLES[table])
    await database.batch(database.get(table).prepareCreateFromDirtyRaw({ ...fields, _status: 'created', _changed: '' }))
    for (const column of TABLES[table]) if (fields[column] !== undefined) memory.edit(table, id, column, fields[column], undefined, false)
  }

  async #delete(memory, table, row) {
    if (table === 'projects' || (table === 'memberships' && row._raw.user !== memory.user)) return
    const { id } = row
    memory.begin(table, id, TABLES[table])
    await row.markAsDeleted()
    memory.forget(table, id)
  }

  async #update(device, memory, table, row) {
    const fields = this.#typed(device, table, row._raw)
    const columns = Object.keys(fields)
    if (!columns.length) return
    const before = { ...row._raw }
    const wasDirty = (column) => before._status === 'created' || before._changed.split(',').includes(column)
    const known = columns.filter((column) => TABLES[table].includes(column))
    if (table === 'tasks' && known.length) this.hot = { project: before.project, id: row.id, columns: known }
    memory.begin(table, row.id, columns)
    for (const column of columns) {
      memory.make(table, row.id, column, fields[column])
      this.#follow(memory, table, row.id, column, fields[column])
    }
    await row.update((record) => {
      for (const column of columns) record._setRaw(column, fields[column])
    })
    for (const column of columns) {
      if (!TABLES[table].includes(column) || before[column] === fields[column]) continue
      memory.edit(table, row.id, column, fields[column], before[column], wasDirty(column))
    }
  }

  /** A user who makes a task a milestone also sets its duration to 0, and the other way round. */
  #follow(memory, table, id, column, value) {
    if (table !== 'tasks') return
    if (column === 'is_milestone' && value) memory.make(table, id, 'duration', 0)
    if (column === 'duration') memory.make(table, id, 'is_milestone', value === 0)
  }

  #typed(device, table, raw) {
    const { random } = this
    if (table === 'projects') return { description: this.unique('about ') }
    if (table === 'memberships') return raw.role === 400 ? {} : { role: random.pick([1, 100, 200]) }
    if (table === 'dependencies') return { lag: random.below(4) }
    if (table === 'calendars') return random.pick([{ name: this.unique('Calendar ') }, { hours_per_day: random.pick([7.5, 8]) }, { exceptions: random.pick(['[]', '[{"end":"2026-05-01","start":"2026-05-01"}]']) }])
    const name = device.name
    const hasNotes = 'notes' in device.schemas.schema.tables.tasks.columns
    return random.pick([
      () => ({ name: this.unique(`${name} `) }),
      () => (hasNotes ? { notes: this.unique(`${name} notes `) } : {}),
      () => ({ name: this.unique(`${name} `), ...(hasNotes && { notes: this.unique(`${name} notes `) }) }),
      () => ({ percent_complete: random.below(4) * 10 }),
      () => ({ percent_complete: 200 }),
      () => ({ duration: random.below(4) }),
      () => ({ duration: 0, is_milestone: true }),
      () => ({ is_milestone: !raw.is_milestone }),
      () => ({ name: this.unique('bad ') }),
      () => ({ is_open: !raw.is_open }),
    ])()
  }

  async #decide(device) {
    const { conflicts$, rejected$, aside$ } = device.sync
    const what = this.random.pick([() => this.#resolve(device, conflicts$.value), () => this.#discard(device, rejected$.value), () => this.#aside(device, aside$.value)])
    return what()
  }

  async #raw(device, table, id) {
    const query = device.database.get(table).query(Q.where('id', id))
    query.description = query._rawDescription
    return (await query.unsafeFetchRaw())[0]
  }

  async #resolve(device, conflicts) {
    if (!conflicts.length) return
    const conflict = this.random.pick(conflicts)
    const { table, id, field, theirs } = conflict
    const memory = this.memories.get(device.user)
    const choice = field === null ? this.random.pick(['mine', 'theirs']) : this.random.pick(['mine', 'theirs', 'theirs', 'value'])
    // The user has seen what the question shows; for a deletion, the whole row.
    for (const [column, value] of Object.entries(field === null ? theirs : { [field]: theirs })) memory.see(table, id, column, value)
    const raw = await this.#raw(device, table, id)
    if (!raw) return
    const columns = field === null ? TABLES[table] : table === 'tasks' && ['duration', 'is_milestone'].includes(field) ? ['duration', 'is_milestone'] : [field]
    if (choice === 'theirs') {
      for (const column of columns) {
        memory.giveUp(table, id, column, raw[column])
        memory.last.delete(`${table}/${id}.${column}`)
      }
      await device.sync.resolve(conflict, 'theirs')
    } else if (choice === 'value' && field !== null && ['name', 'notes'].includes(field)) {
      const value = this.unique('merged ')
      memory.make(table, id, field, value)
      memory.begin(table, id, [field])
      await device.sync.resolve(conflict, { value })
      // A row that was deleted meanwhile takes no value.
      if ((await this.#raw(device, table, id))?.[field] === value) memory.edit(table, id, field, value, null, true)
    } else await device.sync.resolve(conflict, 'mine')
    if (!device.sync.conflicts$.value.some((open) => JSON.stringify(open) === JSON.stringify(conflict))) memory.decided.add(`${table}/${id}.${field}@${conflict.version}`)
  }

  async #discard(device, rejected) {
    if (!rejected.length) return
    const edit = this.random.pick(rejected)
    const { table, id, values } = edit
    const memory = this.memories.get(device.user)
    const raw = await this.#raw(device, table, id)
    const last = new Map(memory.last)
    for (const column of Object.keys(values)) memory.last.delete(`${table}/${id}.${column}`)
    try {
      await device.sync.discard(edit)
    } catch (error) {
      memory.last = last
      throw error
    }
    const state = await device.state(edit.project)
    const given = state?.fetch[`${table}/${id}`]
    if (raw && !given && (await this.#raw(device, table, id))) memory.last = last // It was edited since: nothing was discarded.
    else for (const [column, value] of Object.entries(given ?? values)) memory.giveUp(table, id, column, value)
  }

  async #aside(device, entries) {
    if (!entries.length) return
    const entry = this.random.pick(entries)
    const memory = this.memories.get(device.user)
    if (this.random.chance(0.5)) {
      for (const column of Object.keys(entry.values)) memory.last.delete(`${entry.table}/${entry.id}.${column}`)
      return device.sync.dropAside(entry)
    }
    memory.restoring = (memory.restoring ?? new Set()).add(`${entry.table}/${entry.id}`)
    await device.sync.restoreAside(entry)
  }

  // ---- the end

  async #heal() {
    Object.assign(this.faults, NO_FAULTS)
    while (await this.events.step());
    for (const device of this.devices) {
      while (device.late.length) await device.arriveLate()
      this.busy.delete(device.life)
      if (device.schemas !== this.apps.before) continue
      this.#updateApp(device)
      device.kill()
    }
    for (const project of this.projects) for (const { user } of this.devices) if (!project.live('memberships', `${project.id}-${user}`) && this.random.chance(0.5)) this.server.join(project, user, 300)
    if (this.ill) await this.#judgeOther()
    this.ill = null
    await this.#quiesce()
    await this.#judgeEdits()
    await this.#judgeWaiting()
    for (let n = 0; n < 8 && (await this.#decideAll()); n += 1) await this.#quiesce()
    await this.#judgeAgreement()
  }

  async #quiesce() {
    for (let n = 0; n < 4; n += 1) {
      for (const device of this.devices) {
        const before = device.stats.requests
        const status = await this.events.until(this.#sync(device))
        device.requests = device.stats.requests - before
        if (n === 3 && device.requests > IDLE_REQUESTS) this.violation('e', `${device.name} takes ${device.requests} requests when there is nothing to do`)
        if (n === 3 && status.problem) this.violation('d', `${device.name} ends with ${status.problem.code}: ${status.problem.detail}`)
      }
    }
  }

  /** (h) A project that cannot be served holds up no other. */
  async #judgeOther() {
    this.ill.from = 0
    for (let n = 0; n < 4; n += 1) for (const device of this.devices) await this.events.until(this.#sync(device))
    const other = this.projects.find(({ id }) => id !== this.ill.project)
    for (const device of this.devices) {
      if (!other.live('memberships', `${other.id}-${device.user}`)) continue
      const state = await this.events.until(device.state(other.id))
      const { problem } = device.sync.status$.value.projects[other.id] ?? {}
      const isThere = state?.mark === other.counter && !state.request && !problem
      if (!isThere) this.violation('h', `${device.name} is at ${state?.mark} of ${other.id}, not ${other.counter}, while ${this.ill.project} fails with ${this.ill.code}: ${problem?.code}`)
    }
  }

  /** Each question is answered, each refused edit given up. Answers whether there was one. */
  async #decideAll() {
    let any = false
    for (const device of this.devices) {
      const { conflicts$, rejected$ } = device.sync
      any ||= conflicts$.value.length + rejected$.value.length > 0
      for (const conflict of [...conflicts$.value]) await this.events.until(this.#resolve(device, [conflict]))
      for (const edit of [...rejected$.value]) await this.events.until(this.#discard(device, [edit]))
    }
    return any
  }

  /** (a) */
  async #judgeEdits() {
    for (const device of this.devices) {
      const memory = this.memories.get(device.user)
      const aside = device.sync.aside$.value
      for (const [field, value] of memory.last) {
        if (memory.begun.has(field)) continue
        const [row, column] = field.split('.')
        const [table, id] = row.split('/')
        const raw = await this.events.until(this.#raw(device, table, id))
        const isDirty = raw && raw._status !== 'synced' && same(column, raw[column], value)
        const isAside = aside.some((entry) => entry.table === table && entry.id === id && column in entry.values && same(column, entry.values[column], value))
        const isThere = this.judge.wasOnServer(field, value)
        const isSynced = raw?._status === 'synced' && same(column, raw[column], value)
        if (!isDirty && !isAside && !isThere && !isSynced && !memory.restoring?.has(row) && !memory.gaveUp(field, value)) {
          this.violation('a', `${device.user}'s ${field} ${JSON.stringify(value)} is lost: ${JSON.stringify(raw)}`)
        }
      }
    }
  }

  /** (d) Everything that waits for the user has a reason to wait, and blocks nothing else. */
  async #judgeWaiting() {
    for (const device of this.devices) {
      for (const { project, table, id, method, values } of device.sync.rejected$.value) {
        const state = await this.events.until(device.state(project))
        if (state.parked[`${table}/${id}`]?.tries > 3 || !['tasks', 'dependencies', 'calendars'].includes(table)) continue
        if (this.server.wouldTake(device.user, project, method, table, id, values)) this.violation('d', `${device.name} keeps back ${method} ${table}/${id}, which would be accepted`)
      }
      for (const { project, table, id, field } of device.sync.conflicts$.value) {
        const row = this.server.projects.get(project).live(table, id)
        const raw = await this.events.until(this.#raw(device, table, id))
        const state = await this.events.until(device.state(project))
        if (field === null || !row || !raw || state.parked[`${table}/${id}`]) continue
        const held = ['duration', 'is_milestone', ...Object.keys(state.conflicts[`${table}/${id}`].fields)]
        const free = raw._changed.split(',').filter((column) => TABLES[table].includes(column) && !held.includes(column))
        const given = state.fetch[`${table}/${id}`] ?? {}
        for (const column of free) if (!(column in given) && !same(column, raw[column], row.fields[column])) this.violation('d', `${device.name} keeps back ${table}/${id}.${column}`)
      }
    }
  }

  /** (d) */
  async #judgeAgreement() {
    for (const device of this.devices) {
      for (const project of this.projects) {
        const isMember = project.live('memberships', `${project.id}-${device.user}`)
        for (const table of Object.keys(TABLES)) {
          const here = new Map((await this.events.until(device.database.read(() => this.#all(device, table, project.id)))).map((raw) => [raw.id, raw]))
          const there = isMember ? [...project.rows.values()].filter((row) => row.table === table && !row.deleted) : []
          for (const row of there) this.#compare(device, table, this.server.pulled(project, row), here.get(row.id))
          for (const id of here.keys()) if (!there.some((row) => row.id === id)) this.violation('d', `${device.name} still has ${table}/${id} (${here.get(id)._status})`)
        }
        const state = await this.events.until(device.state(project.id))
        if (isMember && state && state.mark < project.counter) this.violation('d', `${device.name} is at ${state.mark} of ${project.id}, not ${project.counter}`)
        if (state?.request) this.violation('d', `${device.name} has a request without an answer`)
        for (const map of ['acks', 'parked', 'conflicts', 'insist', 'fetch', 'shadow']) {
          if (state && Object.keys(state[map]).length) this.violation('d', `${device.name} remembers ${map} ${JSON.stringify(state[map])}`)
        }
      }
      if (device.sync.status$.value.pending) this.violation('d', `${device.name} says that ${device.sync.status$.value.pending} edits wait`)
    }
  }

  async #all(device, table, project) {
    const query = device.database.get(table).query(table === 'projects' ? Q.where('id', project) : Q.where('project', project))
    query.description = query._rawDescription
    return query.unsafeFetchRaw()
  }

  #compare(device, table, there, here) {
    if (!here) return this.violation('d', `${device.name} lacks ${table}/${there.id}`)
    if (here._status !== 'synced' || here._changed) this.violation('d', `${device.name} has ${table}/${there.id} ${here._status} ${here._changed}`)
    if (here.base_version !== null) this.violation('d', `${device.name} keeps bases of ${table}/${there.id}: ${here.base_version}`)
    for (const [column, value] of Object.entries(there)) {
      const stored = typeof value === 'boolean' ? here[column] === true || here[column] === 1 : (here[column] ?? null)
      if (stored !== value) this.violation('d', `${device.name} has ${table}/${there.id}.${column} ${JSON.stringify(here[column])}, not ${JSON.stringify(value)}`)
    }
  }
}

/** Rows as the app sees them. */
const shown = (database, table, project) => database.get(table).query(Q.where(table === 'projects' ? 'id' : 'project', project)).fetch()

const same = (column, one, other) => {
  const plain = (value) => (typeof value === 'boolean' ? Number(value) : comparable(column, value))
  return JSON.stringify(plain(one)) === JSON.stringify(plain(other))
}
