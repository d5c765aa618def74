// A phone without tricks, for tests of one thing each: WatermelonDB, the package, and a mock of the server behind `fetch`.

import assert from 'node:assert/strict'
import { after } from 'node:test'
import { appSchema, Database, Model, Q, tableSchema } from '@nozbe/watermelondb'
import lokijs from '@nozbe/watermelondb/adapters/lokijs/index.js'
import sqlite from '@nozbe/watermelondb/adapters/sqlite/index.js'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import logger from '@nozbe/watermelondb/utils/common/logger/index.js'
import { client, serverSchema } from './build.mjs'
import { mutants } from './fuzz/mutants.mjs'
import { answer, response } from './mock/http.mjs'
import { MockServer } from './mock/server.mjs'

export const { createSync, withBaseVersion, baseVersionColumn, SyncError } = await client(mutants.find(({ rule }) => rule === process.env.MUTANT))
export const schema = await serverSchema()
export const watermelon = { Q, synchronize }
export const build = { appSchema, tableSchema }
export const app = withBaseVersion(schema, build)

const complaints = []
logger.default.log = () => {}
logger.default.warn = logger.default.error = (...message) => complaints.push(message.join(' '))
after(() => {
  if (complaints.length) throw new Error(`the console says ${complaints.join('; ')}`)
})

const adapters = {
  LokiJS: (schema, dbName = 'test') => new lokijs.default({ schema, dbName, useWebWorker: false, useIncrementalIndexedDB: true, extraLokiOptions: { autosave: false } }),
  SQLite: (schema, dbName = ':memory:', migrations) => new sqlite.default({ schema, dbName, ...(migrations && { migrations }) }),
}

export const onEachAdapter = (define) => Object.keys(adapters).forEach(define)

export function newDatabase(adapter = 'LokiJS', schema = app, dbName, migrations) {
  const modelClasses = Object.keys(schema.tables).map((name) => class extends Model { static table = name })
  return new Database({ adapter: adapters[adapter](schema, dbName, migrations), modelClasses })
}

export class Phone {
  /** Requests as they were sent. */
  sent = []
  /** A function that handles a request instead of the plain answer. */
  meanwhile = null

  constructor({ server, user = 'ann', projects = ['p'], adapter, database = newDatabase(adapter), options = {} } = {}) {
    Object.assign(this, { server, user, database })
    this.sync = createSync({
      database, watermelon, schema, projects,
      baseUrl: 'http://server',
      token: () => user,
      fetch: async (url, init) => {
        this.sent.push({ url, ...init })
        const plain = async () => response(answer(this.server, url, init))
        return this.meanwhile ? this.meanwhile({ url, ...init }, plain) : plain()
      },
      ...options,
    })
  }

  batches() {
    return this.sent.filter(({ url }) => url.endsWith('/batch/'))
  }

  edit(table, id, fields) {
    return this.database.write(async () => {
      const row = await this.database.get(table).find(id)
      await row.update(({ _setRaw }) => {
        for (const [column, value] of Object.entries(fields)) _setRaw.call(row, column, value)
      })
    })
  }

  add(table, fields) {
    const raw = { project: 'p', server_version: 0, ...defaults[table], ...fields, _status: 'created', _changed: '' }
    return this.database.write(() => this.database.batch(this.database.get(table).prepareCreateFromDirtyRaw(raw)))
  }

  delete(table, id) {
    return this.database.write(async () => (await this.database.get(table).find(id)).markAsDeleted())
  }

  /** As it is stored, also if it is marked as deleted. */
  async row(table, id) {
    const query = this.database.get(table).query(Q.where('id', id))
    query.description = query._rawDescription
    return (await query.unsafeFetchRaw())[0]
  }
}

const defaults = {
  tasks: { name: 'Task', wbs_path: null, duration: 1, percent_complete: 0, notes: '', planned_start: null, status: 'NOT_STARTED', is_milestone: false, assignee: null, optimistic_duration: null, most_likely_duration: null, pessimistic_duration: null },
  dependencies: { dep_type: 'FS', lag: 0 },
  calendars: { working_days: 31, hours_per_day: 8, timezone: 'UTC', exceptions: '[]' },
  memberships: { role: 100 },
}

/** A server with project `p`, of which `ann` and `bob` are owners, and a task `t`. */
export function newServer(options) {
  const server = new MockServer(options)
  const project = server.create('p', 'web')
  for (const user of ['ann', 'bob']) server.join(project, user, 400)
  server.single('web', 'p', 'make-t', 'POST', 'tasks', 't', { id: 't', name: 'Dig', duration: 3 }, {})
  return server
}

export const web = (server, method, table, id, body) => server.single('web', 'p', `${Math.random()}`, method, table, id, body, {})

export const plainAnswer = (status, text, headers = {}) => response({ status, headers, text })

/** A phone that has synced once; with a server of its own, unless the options bring one. */
export async function synced(options) {
  const phone = new Phone({ server: newServer(), ...options })
  const { state, problem } = await phone.sync.now()
  assert.equal(state, 'synced', JSON.stringify(problem))
  return phone
}

/** What happens while the next pull is on its way there. */
export function whilePulling(phone, happens) {
  phone.meanwhile = async ({ url }, plain) => {
    if (!url.includes('/sync/')) return plain()
    phone.meanwhile = null
    await happens()
    return plain()
  }
}

/** A write of the project's state fails, as on a full disk or when the app is killed: the first one that is `due`. */
export function failWrite(phone, due) {
  const { adapter } = phone.database
  const { setLocal } = adapter
  adapter.setLocal = async (key, value) => {
    if (key === 'trueppm:project:p' && due(JSON.parse(value))) {
      adapter.setLocal = setLocal
      throw new Error('full')
    }
    return setLocal.call(adapter, key, value)
  }
  return () => (adapter.setLocal = setLocal)
}

/** No pull gets through, from the `nth` one on. */
export function withoutPulls(phone, nth = 1) {
  let left = nth
  phone.meanwhile = async ({ url }, plain) => {
    if (url.includes('/sync/') && (left -= 1) <= 0) throw new Error('no network')
    return plain()
  }
}

/** The state of a phone's project, as it is stored. */
export const stateOf = (phone) => phone.database.localStorage.get('trueppm:project:p')
