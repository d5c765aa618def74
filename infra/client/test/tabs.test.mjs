// Two tabs of a browser on one database. LokiJS has it in the memory of each, so here each has a database of its own, of one name.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { app, newDatabase, newServer, Phone } from './phone.mjs'

/** The browser's locks, as far as they are used. */
class Locks {
  held = new Set()

  async request(name, { ifAvailable }, work) {
    assert.equal(ifAvailable, true)
    await null
    if (this.held.has(name)) return work(null)
    this.held.add(name)
    try {
      return await work({ name })
    } finally {
      this.held.delete(name)
    }
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
  browser()
  const first = new Phone({ server, database: one })
  const second = new Phone({ server, database: other })
  assert.equal((await first.sync.now()).state, 'synced')
  const { state, problem } = await second.sync.now()
  assert.deepEqual([state, problem.code, second.sent.length], ['error', 'two_instances', 0])
  await first.sync.stop()
  assert.equal((await second.sync.now()).problem?.code, 'two_instances', 'what it has in memory is old')
  const reloaded = new Phone({ server, database: again })
  assert.equal((await reloaded.sync.now()).state, 'synced')
})

test('two databases of different names are synced in one page, and one that was stopped can be started again', async () => {
  const server = newServer()
  const databases = await opened('ann', 'bob')
  const locks = browser()
  const phones = ['ann', 'bob'].map((user, n) => new Phone({ server, user, database: databases[n] }))
  for (const phone of phones) assert.equal((await phone.sync.now()).state, 'synced')
  assert.deepEqual([...locks.held].sort(), ['trueppm:ann', 'trueppm:bob'])
  const [{ sync, database }] = phones
  await sync.stop()
  assert.deepEqual([...locks.held], ['trueppm:bob'])
  sync.start()
  assert.equal((await sync.now()).state, 'synced')
  assert.equal(locks.held.size, 2)
  await sync.stop()
  const next = new Phone({ server, database })
  assert.equal((await next.sync.now()).state, 'synced')
  assert.equal(locks.held.size, 2)
})

test('a page that may use no locks syncs without them', async () => {
  const [database] = await opened('app')
  browser({ request: async () => Promise.reject(new DOMException('sandboxed', 'SecurityError')) })
  assert.equal((await new Phone({ server: newServer(), database }).sync.now()).state, 'synced')
})
