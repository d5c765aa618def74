// Detects violations of the invariants, which have these letters:
// (a) the last edit of each field is on the server, dirty, aside, or given up by its user;
// (b) every value that an accepted write replaced had been shown on that device before the edit, or the user chose his own;
// (c) nothing is written twice, nothing that was given up is written later;
// (f) no row under another project, no conflict about what the user had seen or made, no false `id_taken`.
// The world checks (d) and (e) at its end, and (h): a project that cannot be synced does not stop the others.

import { TABLES } from '../mock/server.mjs'

/** Values of these columns are never used twice: they tell which edit they are. */
const UNIQUE = new Set(['name', 'notes', 'description'])

export class Judge {
  log = []
  violations = []
  /** What anybody ever wrote, by `row.column`. */
  history = new Map()
  /** Writes of unique values by devices. */
  writes = new Map()
  /** Whether the server was restored from a backup. Then it may accept a value twice, and knows no base from before. */
  wasRestored = false

  mark() {
    return this.log.length
  }

  rollBack(length) {
    this.log.length = length
  }


  violation(letter, text) {
    this.violations.push(`(${letter}) ${text}`)
  }

  written(project, user, row, replaced) {
    this.log.push({ project: project.id, user, table: row.table, id: row.id, replaced, fields: { ...row.fields } })
  }

  deleted(project, user, row) {
    this.log.push({ project: project.id, user, table: row.table, id: row.id, replaced: { ...row.fields }, fields: null })
  }

  /** Judges the writes of a request, which can no longer be rolled back. */
  commit(memories) {
    for (const entry of this.log.splice(0)) this.#judge(entry, memories.get(entry.user))
  }

  #judge({ project, user, table, id, replaced, fields }, memory) {
    if (process.env.TRACE) console.log('written', user, table, id, fields ? Object.entries(fields).filter(([c, v]) => replaced?.[c] !== v).join(' ') : 'deleted')
    for (const column of TABLES[table]) {
      const field = `${table}/${id}.${column}`
      const value = fields?.[column] ?? null
      const before = replaced ? (replaced[column] ?? null) : undefined
      const isSame = JSON.stringify(before) === JSON.stringify(value)
      if (fields) this.#remember(field, value)
      if (!memory || (fields && isSame)) continue
      if (fields && (memory.projectOf.get(`${table}/${id}`) ?? project) !== project) this.violation('f', `${user} wrote ${field} into ${project}`)
      if (fields && UNIQUE.has(column) && value) this.#judgeOnce(memory, user, field, value)
      const isCascade = !fields && (table === 'dependencies' || table === 'projects' || table === 'memberships')
      if (before === undefined || isCascade) continue
      if (!memory.hasSeen(field, before)) this.violation('b', `${user} replaced ${field} ${text(before)} by ${text(fields && value)} unseen`)
    }
  }

  #judgeOnce(memory, user, field, value) {
    const key = `${user} ${field} ${text(value)}`
    const times = (this.writes.get(key) ?? 0) + 1
    this.writes.set(key, times)
    if (times > 1 && !this.wasRestored) this.violation('c', `${user} wrote ${field} ${text(value)} twice`)
    if (memory.givenUp.has(`${field} ${text(value)}`)) this.violation('c', `${user} wrote ${field} ${text(value)}, which was given up`)
  }

  #remember(field, value) {
    this.history.set(field, (this.history.get(field) ?? new Set()).add(text(value)))
  }

  wasOnServer(field, value) {
    return this.history.get(field)?.has(text(value)) ?? false
  }

  /** New entries of what a device shows its user. */
  judgeConflict(memory, { table, id, field, theirs, version }) {
    if (memory.decided.has(`${table}/${id}.${field}@${version}`)) this.violation('f', `${memory.user} is asked again about ${table}/${id}.${field}`)
    if (this.wasRestored || field === null || !UNIQUE.has(field)) return
    const name = `${table}/${id}.${field}`
    if (memory.under.get(name) === text(theirs) || memory.own.get(name)?.has(text(theirs))) {
      this.violation('f', `${memory.user} is asked about ${name} ${text(theirs)}, which was seen`)
    }
  }

  judgeRejected(memory, { table, id, method, problem }) {
    if (method === 'DELETE' && problem.status === 404) this.violation('f', `${memory.user} is told that ${table}/${id}, which is to be deleted, is not there`)
    if (problem.code === 'id_taken' && !this.wasRestored) this.violation('f', `${memory.user} is told that ${table}/${id} is taken`)
    const foreign = problem.errors?.find(({ field }) => !TABLES[table].includes(field))
    if (foreign) this.violation('f', `${table}/${id} was sent with ${foreign.field}, which is the app's own`)
    if (['invalid_parameter', 'malformed_json', 'idempotency_key_reused'].includes(problem.code)) this.violation('f', `${table}/${id}: ${problem.code}`)
  }
}

const text = (value) => JSON.stringify(value ?? null)

/** What a user has seen, made, chosen and given up. */
export class Memory {
  shown = new Map()
  own = new Map()
  /** Under an edit: what the field showed before. */
  under = new Map()
  /** The last edit of each field. */
  last = new Map()
  givenUp = new Set()
  projectOf = new Map()
  blind = new Set()
  begun = new Set()
  decided = new Set()
  /** Columns that an update of the app brought. */
  newColumns = new Set()

  constructor(user) {
    this.user = user
  }

  #add(map, field, value) {
    map.set(field, (map.get(field) ?? new Set()).add(text(value)))
  }

  show(table, row) {
    // What an older app has no column for, its user cannot see: the server judges it by the lowest base.
    for (const column of TABLES[table]) if (row[column] === undefined) this.blind.add(`${table}/${row.id}.${column}`)
    for (const column of TABLES[table]) if (row[column] !== undefined) this.#add(this.shown, `${table}/${row.id}.${column}`, comparable(column, row[column]))
  }

  see(table, id, column, value) {
    this.#add(this.shown, `${table}/${id}.${column}`, comparable(column, value))
  }

  make(table, id, column, value) {
    this.#add(this.own, `${table}/${id}.${column}`, comparable(column, value))
  }

  /** An edit, or a deletion, that a kill may leave done or not done, without telling. */
  begin(table, id, columns) {
    for (const column of columns) this.begun.add(`${table}/${id}.${column}`)
  }

  edit(table, id, column, value, before, wasDirty) {
    if (process.env.TRACE) console.log('edit', this.user, table, id, column, value)
    this.begun.delete(`${table}/${id}.${column}`)
    const field = `${table}/${id}.${column}`
    this.make(table, id, column, value)
    if (!wasDirty) this.under.set(field, text(before))
    this.last.set(field, comparable(column, value))
    this.givenUp.delete(`${field} ${text(value)}`)
  }

  hasSeen(field, value) {
    return this.shown.get(field)?.has(text(value)) || this.own.get(field)?.has(text(value)) || this.blind.has(field) || this.#isNew(field)
  }

  /** A column that came with an update of the app is empty until a pull fills it: its user has seen no more than before. */
  #isNew(field) {
    const [, column] = field.split('.')
    return this.newColumns.has(column) && [...(this.shown.get(field) ?? [])].every((value) => ['""', 'null'].includes(value))
  }

  giveUp(table, id, column, value) {
    if (process.env.TRACE) console.log('give up', this.user, table, id, column, value)
    this.givenUp.add(`${table}/${id}.${column} ${text(comparable(column, value))}`)
  }

  gaveUp(field, value) {
    return this.givenUp.has(`${field} ${text(value)}`)
  }

  /** The user deleted the row, or gave it up whole. */
  forget(table, id) {
    for (const field of [...this.last.keys()]) if (field.startsWith(`${table}/${id}.`)) this.last.delete(field)
  }
}

/** `exceptions` are text on a device and a list on the server. */
export function comparable(column, value) {
  if (column !== 'exceptions' || typeof value !== 'string') return value ?? null
  try {
    return JSON.parse(value).map(({ description = '', end, start }) => ({ description, end, start }))
  } catch {
    return value
  }
}
