// A phone with the app on it: WatermelonDB as it comes from npm, and the plain client code around it.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe } from 'node:test'
import { Database } from '@nozbe/watermelondb'
import lokijs from '@nozbe/watermelondb/adapters/lokijs/index.js'
import sqlite from '@nozbe/watermelondb/adapters/sqlite/index.js'
import sqliteBridge from '@nozbe/watermelondb/adapters/sqlite/sqlite-node/DatabaseBridge.js'
import { sanitizedRaw } from '@nozbe/watermelondb/RawRecord/index.js'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import logger from '@nozbe/watermelondb/utils/common/logger/index.js'
import { assertProtocol, byId } from './assertions.mjs'
import { app } from './schema.mjs'
import { request, syncPath, tokenFor } from './server.mjs'

/** In Node, LokiJS has no IndexedDB to persist to. It gets a file. */
const lokiFile = {
  loadDatabase: (path, callback) => callback(existsSync(path) ? readFileSync(path, 'utf8') : null),
  saveDatabase: (path, text, callback) => callback(writeFileSync(path, text)),
  deleteDatabase: (path, callback) => callback(rmSync(path, { force: true })),
}

const adapters = {
  LokiJS: {
    open: (path, { schema, migrations }) =>
      new lokijs.default({
        dbName: `${path}.json`,
        schema,
        migrations,
        useWebWorker: false,
        useIncrementalIndexedDB: true,
        extraLokiOptions: { autosave: false }, // the tests say when the app saves: see quit and crash
        _testLokiAdapter: lokiFile,
      }),
    save: (adapter) => new Promise((resolve) => adapter._driver.loki.saveDatabase(resolve)),
    close: () => {},
  },
  SQLite: {
    open: (path, { schema, migrations }) => new sqlite.default({ dbName: `${path}.db`, schema, migrations }),
    save: () => {},
    close: (adapter) => sqliteBridge.default.connections[adapter._tag].driver.database.instance.close(),
  },
}

/** Runs the tests that `define` makes once for LokiJS and once for SQLite. */
export function onEachAdapter(define) {
  for (const name of Object.keys(adapters)) describe(name, () => define(name))
}

/** What WatermelonDB logged: it complains of a server's faults there. */
export const complaints = []
logger.default.log = () => {}
logger.default.warn = logger.default.error = (...message) => complaints.push(message.join(' '))

const home = mkdtempSync(join(tmpdir(), 'watermelondb-'))
process.once('exit', () => rmSync(home, { recursive: true, force: true }))

export const cursorKey = '__watermelon_last_pulled_at'
const syncedBeforeKey = '__watermelon_last_pulled_schema_version'

export class Refused extends Error {}

export class Device {
  #adapter
  #path = join(home, randomUUID())

  /** A fresh installation for one user and one project, of the app of today or another. It has not synced yet. */
  constructor(adapter, project, user = project.owner, installed = app) {
    this.app = installed
    this.#adapter = adapters[adapter]
    this.project = project
    this.token = tokenFor(user)
    this.open()
  }

  open() {
    const { modelClasses } = this.app
    this.database = new Database({ adapter: this.#adapter.open(this.#path, this.app), modelClasses })
  }

  /** The user closes the app: what LokiJS holds in memory is saved. */
  async quit() {
    await this.#adapter.save(this.database.adapter.underlyingAdapter)
    this.crash()
  }

  /** The app is killed: LokiJS loses what it has not saved. SQLite has committed everything. */
  crash() {
    this.#adapter.close(this.database.adapter.underlyingAdapter)
    this.database = undefined
  }

  /** The user gets another version of the app. */
  async update(installed) {
    await this.quit()
    this.app = installed
    this.open()
  }

  async restart() {
    await this.quit()
    this.open()
  }

  /** The plain client: it does not look at the status. `query` is added to the address. */
  async pullChanges({ lastPulledAt, schemaVersion, migration }, query = '') {
    const since = lastPulledAt ?? 0
    const schema = `&schema_version=${schemaVersion}&migration=${encodeURIComponent(JSON.stringify(migration ?? null))}`
    const response = await request(this.token, syncPath(this.project, since, schema + query), { headers: this.headers })
    const text = await response.text()
    const body = JSON.parse(text)
    const encoding = response.headers.get('content-encoding')
    this.last = { since, ok: response.ok, status: response.status, encoding, text, body }
    if (response.ok) assertProtocol(body)
    const { changes, timestamp } = body
    return { changes, timestamp }
  }

  /** One `synchronize()`. Answers the body that the server sent. `complaint` is what WatermelonDB may log: nothing. */
  async sync({ query, complaint = /^$/, ...options } = {}) {
    complaints.length = 0
    await synchronize({
      database: this.database,
      pullChanges: (args) => this.pullChanges(args, query),
      sendCreatedAsUpdated: true,
      ...options,
    })
    assert.match(complaints.join('\n'), complaint)
    return this.last.body
  }

  /** One `synchronize()` of a client that checks `res.ok` before it hands anything to WatermelonDB. */
  syncChecked() {
    return this.sync({
      pullChanges: async (args) => {
        const result = await this.pullChanges(args)
        if (!this.last.ok) throw new Refused(`${this.last.status} ${this.last.body.code}`)
        return result
      },
    })
  }

  /** A client that syncs again at once while there is more. Answers the pages, after `each` has seen them. */
  async drain({ query, each = () => {} } = {}) {
    const pages = []
    do {
      const page = await this.sync({ query })
      if (pages.length) {
        assert.equal(this.last.since, pages.at(-1).timestamp)
        assert.ok(page.timestamp > this.last.since, `a page that stays at ${this.last.since}`)
      }
      pages.push(page)
      await each(page)
    } while (pages.at(-1).has_more)
    return pages
  }

  /** The version up to which this device is complete, as WatermelonDB keeps it. */
  async cursor() {
    return Number(await this.database.adapter.getLocal(cursorKey))
  }

  /** The rows stay, and WatermelonDB takes its next sync for the first. */
  async loseCursor() {
    await this.database.adapter.removeLocal(cursorKey)
    await this.database.adapter.removeLocal(syncedBeforeKey)
  }

  /** The rows of a table by id: as stored, which must be what the app's own records show. */
  async rows(table) {
    const query = this.database.get(table).query()
    const stored = byId((await query.unsafeFetchRaw()).map((raw) => sanitizedRaw(raw, this.app.schema.tables[table])))
    const shown = byId((await query.fetch()).map((record) => ({ ...record._raw })))
    assert.deepEqual(shown, stored, `${table}: the app sees something else than its database holds`)
    return stored
  }

  async row(table, id) {
    return (await this.rows(table)).get(id)
  }

  async ids(table) {
    return [...(await this.rows(table)).keys()].sort()
  }
}
