// The package hears of changes over a WebSocket: real sockets, a mock of the server.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Random } from './fuzz/random.mjs'
import { WebSocket } from 'ws'
import { MockLive } from './mock/live.mjs'
import { newServer, onEachAdapter, Phone, web } from './phone.mjs'

const ends = []
after(() => Promise.all(ends.map((end) => end())))

/** Waits for what comes by itself. */
async function until(what, condition) {
  for (const end = Date.now() + 60_000; Date.now() < end; await pause(10)) if (await condition()) return
  assert.fail(`${what}: not within a minute`)
}

/** A phone that is live, and the server's side of its connection. */
async function livePhone({ server = newServer(), live, ...options } = {}) {
  live ??= await MockLive.start(server)
  const phone = new Phone({ server, ...options, options: { live: live.options, ...options.options } })
  phone.sync.start()
  ends.push(async () => {
    await phone.sync.stop()
    live.stop()
  })
  await until('live', () => phone.sync.status$.value.live === 'live')
  await until('synced', () => phone.sync.status$.value.state === 'synced')
  return Object.assign(phone, { live, pulls: () => phone.sent.filter(({ url }) => url.includes('/sync/')).length })
}
const rename = (phone, name) => web(phone.server, 'PATCH', 'tasks', 't', { name })
const shows = (phone, name) => until(`it shows ${name}`, async () => (await phone.row('tasks', 't')).name === name)

onEachAdapter((adapter) => {
  test(`${adapter}: a poke brings somebody else's change`, async () => {
    const phone = await livePhone({ adapter })
    for (const name of ['Two', 'Three']) {
      rename(phone, name)
      phone.live.poke('p')
      await shows(phone, name)
    }
  })
})

test('a poke of what the device has, or of a project that it has not, pulls nothing', async () => {
  const phone = await livePhone()
  rename(phone, 'Two')
  phone.live.poke('p')
  await shows(phone, 'Two')
  await until('synced', () => phone.sync.status$.value.state === 'synced')
  const before = phone.pulls()
  const { counter } = phone.server.projects.get('p')
  for (const version of [counter, counter - 1, 1]) phone.live.poke('p', version)
  for (const socket of phone.live.sockets.clients) socket.send(JSON.stringify({ project: 'other', version: 9 }))
  await pause(600)
  assert.equal(phone.pulls(), before)
})

test('a burst of pokes is one pull or two', async () => {
  const phone = await livePhone()
  const before = phone.pulls()
  for (let n = 0; n < 20; n += 1) {
    rename(phone, `Name ${n}`)
    phone.live.poke('p')
  }
  await shows(phone, 'Name 19')
  assert.ok(phone.pulls() - before <= 4, `${phone.pulls() - before} pulls`)
})

test('what moved while there was no connection is pulled when it is back', async () => {
  const phone = await livePhone()
  rename(phone, 'Meanwhile')
  phone.live.hangUp()
  await until('another connection', () => phone.live.connections === 2)
  await shows(phone, 'Meanwhile')
})

test('a token that expires is renewed over the same connection, and nothing is missed', async () => {
  const tokens = []
  const token = ({ refresh }) => {
    if (refresh) tokens.push(refresh)
    return `ann#${tokens.length}`
  }
  const phone = await livePhone({ options: { token } })
  phone.live.refusesToken = (token) => token === 'ann#0'
  rename(phone, 'Meanwhile')
  for (const socket of phone.live.sockets.clients) {
    socket.watched = []
    socket.send(JSON.stringify({ code: 'token_expired', detail: 'The token has expired.' }))
  }
  await shows(phone, 'Meanwhile')
  assert.deepEqual([tokens, phone.live.connections], [[true], 1])
})

test('requests and the connection renew a token together', async () => {
  const renewals = []
  let isRenewed = false
  const token = ({ refresh }) => {
    if (!refresh) return isRenewed ? 'ann#1' : 'ann#0'
    return new Promise((resolve) => renewals.push(() => resolve('ann#1')))
  }
  const phone = await livePhone({ options: { token } })
  let refused = 0
  phone.meanwhile = async ({ headers }, plain) => {
    if (headers.Authorization !== 'Bearer ann#0') return plain()
    refused += 1
    return { status: 401, headers: { get: () => null }, text: async () => '{"code":"token_expired","detail":"…"}' }
  }
  phone.live.refusesToken = (token) => token === 'ann#0'
  const synced = phone.sync.now()
  for (const socket of phone.live.sockets.clients) socket.send('{"code":"token_expired","detail":"…"}')
  await until('refused', () => refused && renewals.length)
  await pause(300) // Whoever asks asks now.
  assert.equal(renewals.length, 1)
  isRenewed = true
  renewals[0]()
  assert.equal((await synced).state, 'synced')
  await until('watched with the new one', () => phone.live.heard.at(-1).token === 'ann#1')
  assert.deepEqual([renewals.length, phone.live.connections], [1, 1])
})

test('a project that the server refuses is pulled, which takes its rows away, and is watched no more', async () => {
  const phone = await livePhone()
  phone.server.leave(phone.server.projects.get('p'), 'ann')
  phone.live.hangUp()
  await until('taken away', async () => (await phone.row('tasks', 't')) === undefined)
  assert.equal(phone.sync.status$.value.live, 'polling')
  await pause(1_500)
  assert.equal(phone.live.connections, 2)
  assert.equal((await phone.sync.now()).projects.p.state, 'gone')
  // A member again: the next sync finds out, and the project is watched again.
  phone.server.join(phone.server.projects.get('p'), 'ann', 300)
  await phone.sync.now()
  await until('live', () => phone.sync.status$.value.live === 'live')
})

test('while its pulls fail, pokes do not make the device ask more often', async (t) => {
  const phone = await livePhone()
  t.mock.method(Math, 'random', () => 0.999) // The pauses after failures are the longest: 2, 4 and 8 seconds.
  phone.meanwhile = async () => ({ status: 500, headers: { get: () => null }, text: async () => '{"code":"internal_error","detail":"…"}' })
  rename(phone, 'Two')
  phone.live.poke('p')
  await until('error', () => phone.sync.status$.value.state === 'error')
  const before = phone.pulls()
  for (let n = 0; n < 100; n += 1) {
    phone.live.poke('p')
    await pause(10)
  }
  assert.ok(phone.pulls() - before <= 2, `${phone.pulls() - before} pulls`)
  phone.meanwhile = null
  await shows(phone, 'Two')
})

test('a device without a network hears, when a connection is made again, that it may sync', async () => {
  const phone = await livePhone()
  let signal
  const other = await livePhone({ server: phone.server, live: phone.live, user: 'bob', options: { network: (listener) => { signal = listener; return () => {} } } })
  signal(false)
  assert.equal(other.sync.status$.value.live, 'polling')
  rename(phone, 'Two')
  phone.live.poke('p')
  await shows(phone, 'Two')
  signal(true)
  await until('live', () => other.sync.status$.value.live === 'live')
  await shows(other, 'Two')
})

test('without a WebSocket everything works, and the status says that it polls', async () => {
  const phone = new Phone({ server: newServer() })
  assert.equal(phone.sync.status$.value.live, 'polling')
  assert.equal((await phone.sync.now()).live, 'polling')
})

test('a report says why there is no connection, and why there was none', async () => {
  const server = createServer((_, answer) => answer.writeHead(404).end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `ws://127.0.0.1:${server.address().port}/nowhere`
  const phone = new Phone({ server: newServer(), options: { live: { url, WebSocket } } })
  assert.equal((await phone.sync.report()).live.lastFailure, null)
  phone.sync.start()
  ends.push(() => phone.sync.stop())
  ends.push(() => server.close())
  const failure = async () => (await phone.sync.report()).live.lastFailure?.detail
  await until('refused', failure)
  assert.equal(await failure(), 'The connection failed: Unexpected server response: 404')

  const other = await livePhone()
  other.live.hangUp()
  await until('another connection', () => other.live.connections === 2)
  assert.equal((await other.sync.report()).live.lastFailure.detail, 'The connection was closed, code 1006.')
  assert.equal((await new Phone({ server: newServer() }).sync.report()).live, null)
})

test('after stop() there is no connection', async () => {
  const phone = await livePhone()
  await phone.sync.stop()
  await until('hung up', () => phone.live.sockets.clients.size === 0)
  assert.equal(phone.sync.status$.value.live, 'polling')
  assert.ok(phone.live.heard.every(({ action }) => ['watch', 'ping'].includes(action)))
})

test('two devices that edit converge by pokes alone, and by polls if half of the pokes are lost', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const random = new Random(seed)
  const server = newServer()
  const live = await MockLive.start(server)
  const phones = [await livePhone({ server, live }), await livePhone({ server, live, user: 'bob' })]
  for (const half of [false, true]) {
    live.loses = () => half && random.chance(0.5)
    let known = server.projects.get('p').counter
    const watch = setInterval(() => {
      const { counter } = server.projects.get('p')
      if (counter !== known) live.poke('p')
      known = counter
    }, 5)
    for (let n = 0; n < 20; n += 1) {
      const column = random.pick(['notes', 'name'])
      if (random.chance(0.5)) web(server, 'PATCH', 'tasks', 't', { [column]: `web ${n}` })
      else await random.pick(phones).edit('tasks', 't', { percent_complete: n })
      await pause(random.below(40))
    }
    await pause(1_500)
    // Another change, whose poke comes: also what was missed before it is pulled.
    live.loses = () => false
    rename(phones[0], `End ${half}`)
    for (const phone of phones) await shows(phone, `End ${half}`)
    clearInterval(watch)
    const [one, other] = await Promise.all(phones.map((phone) => phone.row('tasks', 't')))
    assert.equal(one.notes, other.notes, `seed ${seed}`)
  }
})
