// Two tabs of a browser on one database. LokiJS has it in the memory of each, so here each has a database of its own, of one name.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { app, newDatabase, newServer, Phone } from './phone.mjs'

/** The locks of a browser, as one of its tabs sees them. They end with the tab. */
class Locks {
  #held
  #mine = new Set()

  constructor(held = new Set()) {
    this.#held = held
  }

  /** Those of another tab of the same browser. */
  ofAnotherTab() {
    return new Locks(this.#held)
  }

  async request(name, { ifAvailable }, work) {
    assert.equal(ifAvailable, true)
    await null
    if (this.#held.has(name)) return work(null)
    this.#held.add(name)
    this.#mine.add(name)
    return work({ name })
  }

  names() {
    return [...this.#held].sort()
  }

  close() {
    for (const name of this.#mine) this.#held.delete(name)
  }
}

const before = ['navigator', 'indexedDB'].map((name) => [name, Object.getOwnPropertyDescriptor(globalThis, name)])
after(() => {
  for (const [name, descriptor] of before) descriptor ? Object.defineProperty(globalThis, name, descriptor) : delete globalThis[name]
})

/** From now on the platform is a browser. */
function browser(locks = new Locks()) {
  for (const [name, value] of Object.entries({ navigator: { locks }, indexedDB: {} })) Object.defineProperty(globalThis, name, { value, configurable: true })
  return locks
}

/** Databases of these names, opened before there is an `indexedDB` that they would use. */
async function opened(...names) {
  for (const [name] of before) if (Object.getOwnPropertyDescriptor(globalThis, name)?.value) delete globalThis[name]
  const databases = names.map((name) => newDatabase('LokiJS', app, name))
  for (const database of databases) await database.localStorage.get('ready')
  return databases
}

test('of two tabs on one database the second is refused, and sends nothing', async () => {
  const server = newServer()
  const [one, other, again] = await opened('app', 'app', 'app')
  const locks = browser()
  const first = new Phone({ server, database: one })
  browser(locks.ofAnotherTab())
  const second = new Phone({ server, database: other })
  assert.equal((await first.sync.now()).state, 'synced')
  const { state, problem } = await second.sync.now()
  assert.deepEqual([state, problem.code, second.sent.length], ['error', 'two_instances', 0])
  await first.sync.stop()
  assert.equal((await second.sync.now()).problem?.code, 'two_instances', 'the first tab may be started again')
  locks.close()
  await second.sync.stop()
  const next = new Phone({ server, database: other })
  assert.equal((await next.sync.now()).problem?.code, 'two_instances', 'what this tab has in memory is old')
  browser(locks.ofAnotherTab())
  const reloaded = new Phone({ server, database: again })
  assert.equal((await reloaded.sync.now()).state, 'synced')
})

test('a tab that is reloaded syncs, although the lock of the page before is free a moment later', async () => {
  const [database] = await opened('app')
  const locks = new Locks()
  await locks.request('trueppm:app', { ifAvailable: true }, () => {})
  browser(locks.ofAnotherTab())
  const phone = new Phone({ server: newServer(), database })
  const synced = phone.sync.now()
  setTimeout(() => locks.close(), 100)
  assert.equal((await synced).state, 'synced')
})

test('two databases of different names are synced in one page, and one that was stopped can be started again', async () => {
  const server = newServer()
  const databases = await opened('ann', 'bob')
  const locks = browser()
  const phones = ['ann', 'bob'].map((user, n) => new Phone({ server, user, database: databases[n] }))
  for (const phone of phones) assert.equal((await phone.sync.now()).state, 'synced')
  const [{ sync, database }] = phones
  await sync.stop()
  assert.deepEqual(locks.names(), ['trueppm:ann', 'trueppm:bob'])
  sync.start()
  assert.equal((await sync.now()).state, 'synced')
  await sync.stop()
  const next = new Phone({ server, database })
  assert.equal((await next.sync.now()).state, 'synced')
})

test('a page that may use no locks syncs without them', async () => {
  const [database] = await opened('app')
  browser({ request: async () => Promise.reject(new DOMException('sandboxed', 'SecurityError')) })
  assert.equal((await new Phone({ server: newServer(), database }).sync.now()).state, 'synced')
})
