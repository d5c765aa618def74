// The server as a device sees it: the rules of its REST, its batches of mode "each" and its pulls, in memory and at once.
// It has no network and no clock. It reports what it accepts to `judge`, if there is one.

export const TABLES = {
  projects: ['name', 'description', 'start_date', 'calendar'],
  tasks: [
    'name', 'wbs_path', 'duration', 'percent_complete', 'notes', 'planned_start', 'status', 'is_milestone', 'assignee',
    'optimistic_duration', 'most_likely_duration', 'pessimistic_duration',
  ],
  dependencies: ['predecessor', 'successor', 'dep_type', 'lag'],
  calendars: ['name', 'working_days', 'hours_per_day', 'timezone', 'exceptions'],
  memberships: ['user', 'role'],
}
const NAMES = Object.keys(TABLES)
const DEFAULTS = {
  projects: { description: '', start_date: '2026-03-02', calendar: null },
  tasks: {
    wbs_path: null, duration: 1, percent_complete: 0, notes: '', planned_start: null, status: 'NOT_STARTED', is_milestone: false,
    assignee: null, optimistic_duration: null, most_likely_duration: null, pessimistic_duration: null,
  },
  dependencies: { dep_type: 'FS', lag: 0 },
  calendars: { working_days: 31, hours_per_day: 8, timezone: 'UTC', exceptions: [] },
  memberships: { role: 100 },
}
const WRITER = { projects: 300, tasks: 100, dependencies: 200, calendars: 300, memberships: 300 }

/** An answer that is no success. */
export class Refusal extends Error {
  constructor(status, code, more = {}) {
    super(`${status} ${code}`)
    this.problem = { type: `urn:trueppm:problem:${code}`, title: code, status, detail: code, code, ...more }
  }
}
const invalid = (field, message) => new Refusal(422, 'validation_failed', { errors: [{ field, message }] })

const hash = (text, factor) => {
  let hash = 0
  for (const char of text) {
    hash = Math.imul(hash ^ char.charCodeAt(0), factor)
    hash ^= hash >>> 15
  }
  return hash
}
export const checksum = (rows) => {
  const sum = (factor) => rows.reduce((sum, { id, version }) => (sum + hash(`${version}@${id};`, factor)) >>> 0, 0)
  return [rows.length, sum(0x9e3779b1), sum(0x85ebca77)]
}
const canonical = (value) =>
  Array.isArray(value)
    ? value.map(canonical)
    : value && typeof value === 'object'
      ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, inner]) => [name, canonical(inner)]))
      : value
/** As it is stored: members in order, and an exception with its description. */
const stored = (column, value) =>
  column === 'exceptions' && Array.isArray(value) ? value.map((one) => canonical({ description: '', ...one })) : canonical(value)
const same = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null)

class Project {
  counter = 0
  rows = new Map()
  keys = new Map()
  restoredThrough = 0
  resyncBelow = 0

  constructor(id) {
    this.id = id
  }

  row(table, id) {
    return this.rows.get(`${table}/${id}`)
  }

  live(table, id) {
    const row = this.row(table, id)
    return row && !row.deleted ? row : undefined
  }

  /** The rows as they were before each write since the request began: what a refusal takes back. */
  journal = []

  note(table, id) {
    const row = this.row(table, id)
    this.journal.push([`${table}/${id}`, this.counter, row && { ...row, changed: { ...row.changed } }])
  }

  takeBack(length) {
    while (this.journal.length > length) {
      const [key, counter, row] = this.journal.pop()
      this.counter = counter
      if (row) this.rows.set(key, row)
      else this.rows.delete(key)
    }
  }
}

export class MockServer {
  projects = new Map()
  requests = 0
  headsPerPage = 2

  /** `limit`: rows in one commit; `pageSize`: rows in a page; `random`: for what the server is free to do. */
  constructor({ limit = 98, pageSize = 1_000_000, judge, random = () => 1 } = {}) {
    Object.assign(this, { limit, pageSize, judge, random })
  }

  // ---- set up and tear down

  create(id, owner, fields = {}) {
    const project = new Project(id)
    this.projects.set(id, project)
    this.#put(project, owner, 'projects', id, undefined, { ...DEFAULTS.projects, name: id, ...fields })
    this.join(project, owner, 400)
    return project
  }

  join(project, user, role = 100) {
    const before = project.row('memberships', `${project.id}-${user}`)
    this.#put(project, '', 'memberships', `${project.id}-${user}`, before, { user, role })
  }

  leave(project, user) {
    this.#kill(project, '', project.live('memberships', `${project.id}-${user}`))
  }

  /** Adds a row without any checks. */
  addForVolume(id, table, { id: rowId, ...fields }) {
    this.#put(this.projects.get(id), '', table, rowId, undefined, { ...DEFAULTS[table], ...fields })
  }

  backup(project) {
    return JSON.stringify([project.counter, [...project.rows], [...project.keys]])
  }

  /** As the restore command does: each row once more, above a raised counter. */
  restore(project, backup) {
    const [, rows, keys] = JSON.parse(backup)
    project.rows = new Map(rows)
    project.keys = new Map(keys)
    project.counter += 1_000
    project.restoredThrough = project.counter
    for (const row of project.rows.values()) {
      project.counter += 1
      row.version = project.counter
      delete row.older
      for (const column of Object.keys(row.changed)) row.changed[column] = project.counter
    }
    project.resyncBelow = project.restoredThrough + 1
  }

  // ---- who may

  #authorize(id, user, least = 1) {
    const project = this.projects.get(id)
    const member = project?.row('memberships', `${id}-${user}`)
    if (!member) throw new Refusal(403, 'not_a_member')
    if (member.deleted) throw new Refusal(403, 'membership_revoked')
    if (project.row('projects', id).deleted) throw new Refusal(410, 'project_deleted')
    if (member.fields.role < least) throw new Refusal(403, 'role_too_low')
    return project
  }

  // ---- reading

  list(user) {
    return [...this.projects.values()]
      .filter((project) => project.live('memberships', `${project.id}-${user}`) && project.live('projects', project.id))
      .map((project) => this.rest(project, project.row('projects', project.id)))
  }

  /** The current versions of the user's projects, `headsPerPage` memberships a page. */
  heads(user, cursor) {
    const ids = [...this.projects.keys()].filter((id) => id > cursor && this.projects.get(id).live('memberships', `${id}-${user}`)).sort()
    const page = ids.slice(0, this.headsPerPage)
    const heads = page.filter((id) => this.projects.get(id).live('projects', id)).map((id) => ({ project: id, version: this.projects.get(id).counter }))
    return { heads, next: page.length < ids.length ? page.at(-1) : null }
  }

  get(user, id, table, rowId) {
    const project = this.#authorize(id, user)
    const row = project.live(table, rowId)
    if (!row) throw new Refusal(404, 'not_found')
    return this.rest(project, row)
  }

  rest(project, { id, version, table, fields }) {
    return { id, server_version: version, ...(table !== 'projects' && { project: project.id }), ...structuredClone(fields) }
  }

  pulled(project, row) {
    const shown = this.rest(project, row)
    if (row.table === 'calendars') shown.exceptions = JSON.stringify(shown.exceptions)
    return shown
  }

  pull(user, id, since, minVersion = 0) {
    const project = this.projects.get(id)
    const member = project?.row('memberships', `${id}-${user}`)
    if (!member) throw new Refusal(403, 'not_a_member')
    const changes = Object.fromEntries(NAMES.map((table) => [table, { created: [], updated: [], deleted: [] }]))
    const end = member.deleted ? member.version : project.row('projects', id).deleted ? project.row('projects', id).version : 0
    if (end) {
      if (member.deleted && (since === 0 || since >= end)) throw new Refusal(403, 'membership_revoked')
      if (since !== 0 && since < end) for (const row of project.rows.values()) if (row.made <= end) changes[row.table].deleted.push(row.id)
      return { changes, timestamp: end }
    }
    if (since > project.counter) throw new Refusal(409, 'since_ahead_of_server')
    if (since > 0 && since < project.resyncBelow) throw new Refusal(409, 'resync_required')
    if (minVersion > project.counter) throw new Refusal(409, 'min_version_ahead_of_server')
    const from = member.removals?.includes(since) ? 0 : since
    const rows = [...project.rows.values()].filter(({ version }) => version > from).sort((one, other) => one.version - other.version)
    const page = rows.slice(0, this.pageSize)
    const live = [...project.rows.values()].filter(({ deleted }) => !deleted)
    for (const row of page) {
      if (row.deleted) changes[row.table].deleted.push(row.id)
      else changes[row.table].updated.push(this.pulled(project, row))
    }
    if (page.length < rows.length) {
      const upTo = page.at(-1).version
      this.#showOlder(project, changes, from, upTo)
      const count = (table) => live.filter((row) => row.table === table).length
      return { changes, timestamp: upTo, has_more: true, row_counts: Object.fromEntries(NAMES.map((table) => [table, count(table)])) }
    }
    const sums = NAMES.map((table) => [table, checksum(live.filter((row) => row.table === table))])
    return { changes, timestamp: project.counter, checksum: Object.fromEntries(sums) }
  }

  /** A page that is not the last one may show a row as it was, up to its own version: a later page has it as it is. */
  #showOlder(project, changes, from, upTo) {
    for (const row of project.rows.values()) {
      const older = row.older?.findLast(({ version }) => version > from && version <= upTo)
      if (row.version > upTo && older && this.random() < 0.5) changes[row.table].updated.push(this.pulled(project, { ...row, ...older }))
    }
  }

  // ---- writing

  /** `POST …/batch/` with mode "each". */
  batch(user, id, key, body) {
    const project = this.#authorize(id, user)
    const kept = project.keys.get(`${user} ${key}`)
    if (kept) {
      if (kept.body !== body) throw new Refusal(422, 'idempotency_key_reused')
      return JSON.parse(kept.answer)
    }
    project.journal.length = 0
    const { mode, operations, ...unknown } = JSON.parse(body)
    if (mode !== 'each') throw invalid('mode', 'must be each')
    if (Object.keys(unknown).length) throw invalid(Object.keys(unknown)[0], 'is not known here')
    if (!Array.isArray(operations) || operations.length < 1 || operations.length > 98) throw invalid('operations', 'must be 1 to 98 operations')
    const written = new Set()
    let isFull = false
    const results = operations.map((operation, index) => {
      if (isFull) return { status: 0, id: operation.id ?? null, code: 'not_attempted' }
      const before = project.journal.length
      const judged = this.judge?.mark()
      const { method, table, rowId } = this.#understood(operation)
      try {
        const touched = new Set(written)
        const result = this.#apply(project, user, method, table, rowId, operation, touched)
        if (touched.size > this.limit) {
          if (touched.size - written.size > this.limit) throw new Refusal(422, 'batch_too_large')
          this.#undo(project, before, judged)
          isFull = true
          return { status: 0, id: rowId, code: 'not_attempted' }
        }
        for (const row of touched) written.add(row)
        return { ...result, id: rowId }
      } catch (error) {
        if (!error.problem) throw error
        this.#undo(project, before, judged)
        return { status: error.problem.status, id: rowId ?? null, problem: error.problem }
      }
    })
    const answer = { results, server_version: project.counter }
    project.keys.set(`${user} ${key}`, { body, answer: JSON.stringify(answer) })
    return answer
  }

  /** Whether an operation without bases would be accepted now. */
  wouldTake(user, id, method, table, rowId, values) {
    const project = this.projects.get(id)
    const before = project.journal.length
    const judged = this.judge?.mark()
    try {
      const json = (column, value) => (column === 'exceptions' ? JSON.parse(value) : value)
      const body = Object.fromEntries(Object.entries(values).map(([column, value]) => [column, json(column, value)]))
      this.#apply(project, user, method, table, rowId, { body: method === 'POST' ? { id: rowId, ...body } : body }, new Set())
      return true
    } catch {
      return false
    } finally {
      this.#undo(project, before, judged)
    }
  }

  #undo(project, before, judged) {
    project.takeBack(before)
    this.judge?.rollBack(judged)
  }

  #understood({ method, path, body }) {
    const [table, rowId, ...more] = String(path).replace(/\/$/, '').split('/')
    const isKnown = ['tasks', 'dependencies', 'calendars'].includes(table) && !more.length
    if (!isKnown || (method === 'POST') === (rowId !== undefined)) throw new Error(`a path that nobody should send: ${method} ${path}`)
    return { method, table, rowId: rowId ?? body.id }
  }

  /** A single request, kept under its key if it is accepted. */
  single(user, id, key, method, table, rowId, body, base) {
    const project = this.#authorize(id, user)
    const print = JSON.stringify([method, table, rowId, body, base])
    const kept = project.keys.get(`${user} ${key}`)
    if (kept) {
      if (kept.body !== print) throw new Refusal(422, 'idempotency_key_reused')
      return JSON.parse(kept.answer)
    }
    const before = project.journal.length
    const judged = this.judge?.mark()
    try {
      const result = this.#apply(project, user, method, table, rowId, { body, ...base }, new Set())
      const row = method === 'DELETE' ? null : this.rest(project, project.row(table, rowId))
      const answer = { status: result.status, row, version: project.counter, merged: result.merged_fields ?? [] }
      project.keys.set(`${user} ${key}`, { body: print, answer: JSON.stringify(answer) })
      return answer
    } catch (error) {
      this.#undo(project, before, judged)
      throw error
    }
  }

  #apply(project, user, method, table, id, operation, touched) {
    this.#authorize(project.id, user, WRITER[table])
    const row = project.row(table, id)
    if (method === 'POST') return this.#post(project, user, table, id, row, operation, touched)
    if (method === 'PATCH') return this.#patch(project, user, table, id, row, operation, touched)
    if (!row) throw new Refusal(404, 'not_found')
    if (row.deleted) return { status: 204, server_version: row.version }
    this.#checkBase(project, row, operation, TABLES[table].map((column) => [column, undefined]))
    this.#checkDeletion(project, table, id)
    const ends = ({ fields }) => table === 'tasks' && (fields.predecessor === id || fields.successor === id)
    const edges = [...project.rows.values()].filter((other) => other.table === 'dependencies' && !other.deleted && ends(other))
    for (const edge of edges) this.#kill(project, user, edge, touched)
    this.#kill(project, user, row, touched)
    return { status: 204, server_version: row.version }
  }

  #post(project, user, table, id, row, { body }, touched) {
    const { id: named, ...fields } = body
    if (named !== id) throw invalid('id', 'is missing')
    this.#checkNames(table, fields)
    if (row?.deleted) throw new Refusal(409, 'id_deleted')
    if (row) {
      const isSame = Object.entries(fields).every(([column, value]) => same(row.fields[column], stored(column, value)))
      if (!isSame) throw new Refusal(409, 'id_taken')
      return { status: 200, server_version: row.version }
    }
    const all = { ...DEFAULTS[table], ...inferred(table, fields) }
    this.#validate(project, table, id, all, undefined)
    return { status: 201, server_version: this.#put(project, user, table, id, undefined, all, touched).version }
  }

  #patch(project, user, table, id, row, operation, touched) {
    if (!row || row.deleted) throw new Refusal(404, 'not_found')
    const { body } = operation
    this.#checkNames(table, body)
    this.#checkBase(project, row, operation, Object.entries(body))
    const merged_fields = TABLES[table].filter((column) => !(column in body) && row.changed[column] > operation.base_version)
    const merged = merged_fields.length ? { merged_fields } : {}
    const fields = { ...row.fields, ...inferred(table, body) }
    for (const column of Object.keys(fields)) fields[column] = stored(column, fields[column])
    if (TABLES[table].every((column) => same(row.fields[column], fields[column]))) return { status: 200, server_version: row.version, ...merged }
    this.#validate(project, table, id, fields, row.fields)
    return { status: 200, server_version: this.#put(project, user, table, id, row, fields, touched).version, ...merged }
  }

  #checkNames(table, fields) {
    const unknown = Object.keys(fields).find((column) => !TABLES[table].includes(column))
    if (unknown) throw invalid(unknown, 'is not known here')
  }

  #checkBase(project, row, { base_version, base_fields = {} }, sent) {
    if (base_version === undefined) return
    const base = (column) => base_fields[column] ?? base_version
    const seen = (column) => (base(column) <= project.restoredThrough ? 0 : base(column))
    if (sent.some(([column]) => base(column) > row.version)) throw new Refusal(412, 'version_mismatch', { current: this.rest(project, row) })
    const differs = ([column, value]) => value === undefined || !same(row.fields[column], stored(column, value))
    const conflicts = sent.filter((one) => row.changed[one[0]] > seen(one[0]) && differs(one))
    if (!conflicts.length) return
    const shown = (value) => Object.fromEntries(conflicts.map(([column, sent]) => [column, value(column, sent) ?? null]))
    throw new Refusal(409, 'sync_conflict', {
      conflict_fields: conflicts.map(([column]) => column),
      server_value: shown((column) => row.fields[column]),
      client_value: shown((_, sent) => sent),
      server_version: row.version,
    })
  }

  #checkDeletion(project, table, id) {
    if (table === 'calendars' && project.row('projects', project.id).fields.calendar === id) throw new Refusal(409, 'calendar_in_use')
  }

  #validate(project, table, id, fields, before) {
    if ('name' in fields && (typeof fields.name !== 'string' || !fields.name || fields.name.startsWith('bad'))) throw invalid('name', 'is bad')
    if (table === 'tasks') {
      if (!Number.isInteger(fields.duration) || fields.duration < 0) throw invalid('duration', 'must be a whole number')
      if ((fields.duration === 0) !== fields.is_milestone) throw invalid('is_milestone', 'must be true exactly when duration is 0')
      if (fields.percent_complete > 100) throw invalid('percent_complete', 'must be at most 100')
      const isNew = fields.assignee !== null && fields.assignee !== before?.assignee
      if (isNew && !project.live('memberships', `${project.id}-${fields.assignee}`)) throw invalid('assignee', 'must be a member of the project, or null')
    } else if (table === 'dependencies') {
      for (const end of ['predecessor', 'successor']) if (!project.live('tasks', fields[end])) throw invalid(end, 'must be a live task')
      const isSame = (other) => other.id !== id && ['predecessor', 'successor', 'dep_type'].every((column) => other.fields[column] === fields[column])
      const twin = [...project.rows.values()].find((other) => other.table === 'dependencies' && !other.deleted && isSame(other))
      if (twin) throw new Refusal(409, 'duplicate_dependency', { id: twin.id })
    } else if (table === 'calendars') {
      if (!Array.isArray(fields.exceptions)) throw invalid('exceptions', 'must be an array')
      fields.exceptions = stored('exceptions', fields.exceptions)
    } else if (table === 'projects' && fields.calendar !== null && !project.live('calendars', fields.calendar)) {
      throw invalid('calendar', 'must be one of the project')
    }
  }

  #put(project, user, table, id, before, fields, touched) {
    project.note(table, id)
    project.counter += 1
    const version = project.counter
    const row = before ?? { table, id, changed: {}, made: version }
    const replaced = before && !before.deleted ? { ...before.fields } : null
    for (const column of TABLES[table]) {
      fields[column] ??= null
      if (!replaced || !same(replaced[column], fields[column])) row.changed[column] = version
    }
    if (replaced) row.older = [...(row.older ?? []).slice(-3), { version: row.version, fields: row.fields }]
    Object.assign(row, { fields: { ...fields }, version, deleted: false })
    project.rows.set(`${table}/${id}`, row)
    touched?.add(`${table}/${id}`)
    this.judge?.written(project, user, row, replaced)
    return row
  }

  #kill(project, user, row, touched) {
    project.note(row.table, row.id)
    project.counter += 1
    row.version = project.counter
    row.deleted = true
    if (row.table === 'memberships') row.removals = [...(row.removals ?? []), row.version]
    touched?.add(`${row.table}/${row.id}`)
    this.judge?.deleted(project, user, row)
  }
}

/** Completes a change: a milestone gets the duration 0, and a task with the duration 0 becomes a milestone. */
function inferred(table, fields) {
  if (table !== 'tasks') return { ...fields }
  if (fields.is_milestone === true && !('duration' in fields)) return { ...fields, duration: 0 }
  if (Number.isInteger(fields.duration) && !('is_milestone' in fields)) return { ...fields, is_milestone: fields.duration === 0 }
  return { ...fields }
}
