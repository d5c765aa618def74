// A phone: WatermelonDB over an adapter that can be stopped between any two calls, and the client over a network that loses
// requests and answers.

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Database, Model, Q } from '@nozbe/watermelondb'
import lokijs from '@nozbe/watermelondb/adapters/lokijs/index.js'
import sqlite from '@nozbe/watermelondb/adapters/sqlite/index.js'
import sqliteBridge from '@nozbe/watermelondb/adapters/sqlite/sqlite-node/DatabaseBridge.js'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import logger from '@nozbe/watermelondb/utils/common/logger/index.js'
import { response } from '../mock/http.mjs'

export const complaints = []
logger.default.log = () => {}
logger.default.error = (...message) => complaints.push(message.join(' '))
// A writer that has to wait for another one is not a fault, because the seed makes it wait.
logger.default.warn = (...message) => /can't be performed yet/.test(message[0]) || complaints.push(message.join(' '))

// In memory if there is such a directory, because the disk is not under test.
const home = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'trueppm-fuzz-'))
process.once('exit', () => rmSync(home, { recursive: true, force: true }))
let files = 0

/** Where a device keeps its data when the app is not running. */
const adapters = {
  loki: {
    storage: () => ({ text: null }),
    open: (storage, app) =>
      new lokijs.default({
        ...app,
        dbName: 'fuzz',
        useWebWorker: false,
        useIncrementalIndexedDB: true,
        extraLokiOptions: { autosave: false },
        _testLokiAdapter: {
          loadDatabase: (_, callback) => callback(storage.text),
          saveDatabase: (_, text, callback) => {
            storage.text = text
            callback()
          },
          deleteDatabase: (_, callback) => {
            storage.text = null
            callback()
          },
        },
      }),
    close: (storage, adapter) => {
      if (adapter._driver?.loki) storage.text = adapter._driver.loki.serialize()
    },
  },
  sqlite: {
    storage: () => ({ path: join(home, `${(files += 1)}.db`) }),
    open: ({ path }, app) => new sqlite.default({ ...app, dbName: path }),
    close: (_, adapter) => sqliteBridge.default.connections[adapter._tag]?.driver?.database?.instance.close(),
  },
}

/** The adapter. Each call is an event, and so is its result. */
function interruptible(real, events, life) {
  return new Proxy(real, {
    get(target, name) {
      const member = target[name]
      if (typeof member !== 'function' || name.startsWith('_')) return member
      return (...args) => {
        const callback = args.at(-1)
        if (typeof callback !== 'function') return member.apply(target, args)
        events.add(life, () => {
          member.call(target, ...args.slice(0, -1), (result) => {
            if (events.random.chance(0.7)) callback(result)
            else events.add(life, () => callback(result))
          })
        })
      }
    },
  })
}

const refusal = (code, headers = {}) => response({ status: 503, headers, text: JSON.stringify({ status: 503, code, detail: code }) })

const garbled = (text, random) => (random.chance(0.5) ? '<html>Sign in</html>' : text.slice(0, text.length / 2))

export class Device {
  lives = 0
  /** Requests that may arrive once more. */
  late = []
  stats = { kills: 0, lost: 0, late: 0, requests: 0, whole: 0 }

  constructor({ name, user, adapter, events, random, faults, createSync, schemas, projects, baseUrl = 'http://server/', transport, token }) {
    Object.assign(this, { name, user, events, random, faults, createSync, projects, baseUrl, transport, token })
    this.adapter = adapters[adapter]
    this.storage = this.adapter.storage()
    this.schemas = schemas
    this.open()
  }

  open() {
    this.lives += 1
    this.life = { of: this, number: this.lives }
    const { schema, app, migrations } = this.schemas
    this.real = this.adapter.open(this.storage, { schema: app, ...(migrations && { migrations }) })
    const classes = Object.keys(app.tables).map((name) => class extends Model { static table = name })
    const adapter = interruptible(this.real, this.events, this.life)
    this.database = new Database({ adapter, modelClasses: classes })
    const { life } = this
    this.sync = this.createSync({
      database: this.database,
      watermelon: { Q, synchronize },
      schema,
      baseUrl: this.baseUrl,
      token: this.token,
      projects: this.projects,
      fetch: (url, init) => this.fetch(life, url, init),
    })
  }

  /** Ends the app between two events. Its requests are still delivered, but nobody waits for the answers. */
  kill() {
    this.stats.kills += 1
    this.events.drop(this.life)
    this.adapter.close(this.storage, this.real)
    this.open()
    if (this.onShow) this.sync.status$.subscribe(this.onShow)
  }

  fetch(life, url, init) {
    this.stats.requests += 1
    const { faults, random, events } = this
    return new Promise((resolve, reject) => {
      const fail = (why) => {
        this.stats.lost += 1
        reject(new Error(why))
      }
      events.add(life, async () => {
        if (random.chance(faults.lost)) return fail('lost on the way there')
        if (random.chance(faults.busy)) return resolve(refusal('busy', { 'retry-after': '1' }))
        const request = () => this.transport(url, init)
        if (init.method !== 'GET' && random.chance(faults.late)) this.late.push(request)
        if (url.includes('since=0')) this.stats.whole += 1
        let answered
        try {
          answered = await request()
        } catch (error) {
          return fail(error.message)
        }
        this.onAnswer?.()
        events.add(life, () => {
          if (random.chance(faults.lost)) return fail('lost on the way back')
          if (random.chance(faults.garbled)) return resolve(response({ ...answered, text: garbled(answered.text, random) }))
          if (init.method !== 'GET' && random.chance(faults.busy)) return resolve(refusal('outcome_unknown'))
          resolve(response(answered))
        })
      })
    })
  }

  /** Delivers a request that a repetition has overtaken, or that nobody waits for any more. */
  async arriveLate() {
    const request = this.late.shift()
    if (!request) return
    this.stats.late += 1
    try {
      await request()
    } catch {
      return // It found no server.
    }
    this.onAnswer?.()
  }

  state(project) {
    return this.database.localStorage.get(`trueppm:project:${project}`)
  }
}
