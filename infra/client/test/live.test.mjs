// The connection over which notifications come. The test controls the clock of the timers and the sockets.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { Random } from './fuzz/random.mjs'

const outfile = fileURLToPath(new URL('../build/live.mjs', import.meta.url))
await build({ entryPoints: [fileURLToPath(new URL('../src/live.ts', import.meta.url))], outfile, bundle: true, format: 'esm' })
const { Live, LIVE_PACE } = await import(pathToFileURL(outfile))

/** What happens now, and what follows from it without a pause. */
const settled = async () => {
  for (let n = 0; n < 10; n += 1) await Promise.resolve()
}

/** A clock of the test's own. */
function mockClock(t) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let now = 0
  t.mock.method(performance, 'now', () => now)
  return async (pause) => {
    await settled()
    now += pause
    t.mock.timers.tick(pause)
    await settled()
  }
}

/** A device: `it.sockets` are all that it opened. `random` is always the longest pause. */
function device(t, { projects = ['p'], random = () => 0.999, WebSocket, ...deps } = {}) {
  const it = { projects, sockets: [], moved: [], refused: [], tokens: [], states: [], pass: mockClock(t) }
  class Socket {
    sent = []
    isClosed = false

    constructor(url) {
      this.url = url
      it.sockets.push(this)
    }

    send(text) {
      if (this.isClosed) throw new Error('closed')
      this.sent.push(JSON.parse(text))
    }

    close() {
      this.isClosed = true
    }

    async open() {
      this.onopen?.({})
      await settled()
    }

    async say(message) {
      this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) })
      await settled()
    }

    async end() {
      this.isClosed = true
      this.onclose?.({})
      await settled()
    }
  }
  it.live = new Live({ url: 'wss://server', WebSocket: WebSocket === undefined ? Socket : WebSocket }, {
    token: async (request) => `token ${it.tokens.push(request.refresh)}`,
    projects: () => it.projects,
    moved: (change) => it.moved.push(change),
    refused: (projects) => it.refused.push(...projects),
    changed: () => it.states.push(it.live.state),
    ...deps,
  }, LIVE_PACE, random)
  Object.defineProperty(it, 'socket', { get: () => it.sockets.at(-1) })
  /** Connects, and is told that everything is at version 1. */
  it.connect = async () => {
    await it.pass(0)
    await it.socket.open()
    await it.socket.say({ watching: it.projects.map((project) => ({ project, version: 1 })), refused: [] })
  }
  return it
}

const connected = async (t, options) => {
  const it = device(t, options)
  it.live.start()
  await it.connect()
  return it
}

test('it watches with a token once it is connected, and is live once the server says so', async (t) => {
  const it = device(t, { projects: ['p', 'q'] })
  assert.equal(it.live.state, 'polling')
  it.live.start()
  assert.equal(it.live.state, 'reconnecting')
  await it.pass(0)
  assert.equal(it.socket.url, 'wss://server')
  assert.deepEqual(it.socket.sent, [])
  await it.socket.open()
  assert.deepEqual(it.socket.sent, [{ action: 'watch', token: 'token 1', projects: ['p', 'q'] }])
  assert.equal(it.live.state, 'reconnecting')
  await it.socket.say({ watching: [{ project: 'p', version: 7 }], refused: ['q'] })
  assert.equal(it.live.state, 'live')
  await it.socket.say({ project: 'p', version: 8 })
  assert.deepEqual(it.moved, [{ project: 'p', version: 7 }, { project: 'p', version: 8 }])
  assert.deepEqual(it.refused, ['q'])
})

test('a lost connection comes back after a random pause, which doubles up to a minute and begins anew after a success', async (t) => {
  const it = await connected(t)
  await it.pass(40_000)
  const pauses = []
  const lose = async () => {
    await it.socket.end()
    const known = it.sockets.length
    let pause = 0
    for (; it.sockets.length === known; pause += 500) await it.pass(500)
    pauses.push(pause / 1_000)
  }
  for (let n = 0; n < 9; n += 1) await lose()
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60])
  await it.connect()
  await it.pass(40_000)
  await lose()
  assert.equal(pauses.at(-1), 1)
})

test('a server that answers and hangs up at once is asked less and less often', async (t) => {
  const it = device(t)
  it.live.start()
  for (let n = 0; n < 600; n += 1) {
    await it.pass(1_000)
    if (it.socket.isClosed || it.socket.sent.length) continue
    await it.socket.open()
    await it.socket.say({ watching: [{ project: 'p', version: 1 }], refused: [] })
    await it.socket.end()
  }
  assert.ok(it.sockets.length < 20, `${it.sockets.length} connections in ten minutes`)
})

test('after five attempts in a row that failed it says that the device polls, and goes on trying', async (t) => {
  const it = device(t)
  it.live.start()
  await it.pass(0)
  const states = []
  for (let n = 0; n < 6; n += 1) {
    await it.socket.end()
    states.push(it.live.state)
    await it.pass(60_000)
  }
  assert.deepEqual(states, ['reconnecting', 'reconnecting', 'reconnecting', 'reconnecting', 'polling', 'polling'])
  await it.connect()
  assert.equal(it.live.state, 'live')
  await it.socket.end()
  assert.equal(it.live.state, 'polling', 'it did not last')
})

test('a connection that only this side believes in is given up', async (t) => {
  const it = await connected(t)
  await it.pass(LIVE_PACE.ping)
  assert.deepEqual(it.socket.sent.at(-1), { action: 'ping' })
  await it.socket.say({ pong: true })
  await it.pass(LIVE_PACE.ping - 1)
  assert.equal(it.sockets.length, 1)
  await it.pass(1)
  assert.deepEqual(it.socket.sent.map(({ action }) => action), ['watch', 'ping', 'ping'])
  const [half] = it.sockets
  await it.pass(LIVE_PACE.pong)
  assert.deepEqual([half.isClosed, it.live.state], [true, 'reconnecting'])
  await it.pass(1_000)
  assert.equal(it.sockets.length, 2)
  await half.say({ project: 'p', version: 99 })
  await half.end()
  assert.ok(!it.moved.some(({ version }) => version === 99), 'what is given up is heard no more')
  assert.equal(it.sockets.length, 2)
})

test('a connection that gets pokes is not pinged', async (t) => {
  const it = await connected(t)
  for (let version = 2; version < 12; version += 1) {
    await it.pass(LIVE_PACE.ping - 1)
    await it.socket.say({ project: 'p', version })
  }
  assert.equal(it.socket.sent.length, 1)
})

test('a connection whose server never answers the watch is given up', async (t) => {
  const it = device(t)
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  await it.pass(LIVE_PACE.connect)
  assert.equal(it.socket.isClosed, true)
  await it.pass(1_000)
  assert.equal(it.sockets.length, 2)
  await it.pass(LIVE_PACE.connect)
  assert.equal(it.sockets[1].isClosed, true, 'and one that never opens')
})

test('after a change of the network, an open connection is pinged at once', async (t) => {
  const it = await connected(t)
  it.live.signal('network', true)
  assert.deepEqual(it.socket.sent.at(-1), { action: 'ping' })
  await it.pass(LIVE_PACE.pong)
  assert.equal(it.socket.isClosed, true)
})

test('without a network or in the background there is no connection, and afterwards one at once', async (t) => {
  const it = await connected(t)
  for (const name of ['network', 'appState']) {
    const before = it.sockets.length
    it.live.signal(name, false)
    assert.deepEqual([it.socket.isClosed, it.live.state, it.states.at(-1)], [true, 'polling', 'polling'])
    await it.pass(600_000)
    assert.equal(it.sockets.length, before)
    it.live.signal(name, true)
    assert.equal(it.states.at(-1), 'reconnecting')
    await it.connect()
    assert.deepEqual([it.sockets.length, it.live.state], [before + 1, 'live'])
  }
  it.live.stop()
  it.live.signal('appState', true)
  await it.pass(600_000)
  assert.deepEqual([it.socket.isClosed, it.live.state, it.sockets.length], [true, 'polling', 3])
})

test('the network comes back: at once, however often it failed before', async (t) => {
  const it = device(t)
  it.live.start()
  await it.pass(0)
  for (let n = 0; n < 8; n += 1) {
    await it.socket.end()
    await it.pass(60_000)
  }
  await it.socket.end()
  const before = it.sockets.length
  it.live.signal('network', true)
  await it.pass(0)
  assert.equal(it.sockets.length, before + 1)
})

for (const code of ['token_expired', 'token_invalid', 'unauthenticated']) {
  test(`${code}: it watches again over the same connection, with a new token`, async (t) => {
    const it = await connected(t)
    for (const expected of [[false, true], [false, true, true]]) {
      await it.socket.say({ code, detail: '…' })
      assert.deepEqual(it.tokens, expected)
      assert.deepEqual(it.socket.sent.at(-1), { action: 'watch', token: `token ${expected.length}`, projects: ['p'] })
      await it.socket.say({ watching: [{ project: 'p', version: 9 }], refused: [] })
    }
    assert.equal(it.sockets.length, 1)
    assert.deepEqual(it.moved.at(-1), { project: 'p', version: 9 }, 'and hears what moved meanwhile')
  })
}

test('a token that expires while several projects move is renewed once, over the same connection', async (t) => {
  const renewals = []
  const it = device(t, { projects: ['p', 'q'], token: ({ refresh }) => (refresh ? new Promise((resolve) => renewals.push(resolve)) : 'old') })
  it.live.start()
  await it.connect()
  for (let n = 0; n < 3; n += 1) await it.socket.say({ code: 'token_expired', detail: '…' })
  assert.deepEqual([renewals.length, it.socket.isClosed], [1, false])
  renewals[0]('new')
  await settled()
  assert.deepEqual(it.socket.sent.at(-1), { action: 'watch', token: 'new', projects: ['p', 'q'] })
  await it.socket.say({ code: 'token_expired', detail: '…' })
  assert.equal(it.socket.isClosed, true, 'the new one, too')
})

test('a new token that is refused, too, is not tried in a loop', async (t) => {
  const it = device(t)
  it.live.start()
  for (let n = 0; n < 600; n += 1) {
    await it.pass(1_000)
    if (it.socket.isClosed) continue
    if (!it.socket.sent.length) await it.socket.open()
    await it.socket.say({ code: 'token_invalid', detail: '…' })
  }
  assert.ok(it.tokens.length < 40, `${it.tokens.length} tokens in ten minutes`)
  assert.ok(it.tokens.slice(1).every(Boolean), 'each but the first is asked for anew')
})

test('no token: no watch, and another attempt after a pause', async (t) => {
  let fails = true
  const it = device(t, { token: async () => { if (fails) throw new Error('no network'); return 't' } })
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  assert.deepEqual([it.socket.isClosed, it.socket.sent], [true, []])
  fails = false
  await it.pass(1_000)
  await it.connect()
  assert.equal(it.live.state, 'live')
})

test('the pause that the server asks for is kept, even when the app comes back to the foreground', async (t) => {
  const it = device(t)
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  await it.socket.say({ code: 'rate_limited', detail: '…', retry_after: 30 })
  assert.equal(it.socket.isClosed, true)
  it.live.signal('appState', true)
  await it.pass(29_000)
  assert.equal(it.sockets.length, 1)
  await it.pass(2_000)
  assert.equal(it.sockets.length, 2)
})

test('a server that asks to wait for a year is asked again after an hour, and not all the time', async (t) => {
  const it = device(t)
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  await it.socket.say({ code: 'rate_limited', detail: '…', retry_after: 31_536_000 })
  await it.pass(3_599_000)
  assert.equal(it.sockets.length, 1)
  await it.pass(2_000)
  assert.equal(it.sockets.length, 2)
})

test('a ping that is refused ends nothing', async (t) => {
  const it = await connected(t)
  await it.pass(LIVE_PACE.ping)
  await it.socket.say({ code: 'rate_limited', detail: '…', retry_after: 1 })
  await it.pass(LIVE_PACE.pong)
  assert.deepEqual([it.sockets.length, it.live.state], [1, 'live'])
})

test('without a WebSocket it polls', async (t) => {
  const it = device(t, { WebSocket: null })
  const saved = globalThis.WebSocket
  delete globalThis.WebSocket
  t.after(() => saved && Object.assign(globalThis, { WebSocket: saved }))
  const without = new Live({ url: 'wss://server' }, { projects: () => ['p'], changed: () => {} })
  without.start()
  without.signal('network', true)
  await it.pass(600_000)
  assert.equal(without.state, 'polling')
  assert.match(without.report().lastFailure.detail, /no global WebSocket/)
})

test('an invalid address does not crash the app', async (t) => {
  class Socket {
    constructor() {
      throw new SyntaxError('no such scheme')
    }
  }
  const it = device(t, { WebSocket: Socket })
  it.live.start()
  for (let n = 0; n < 10; n += 1) await it.pass(60_000)
  assert.equal(it.live.state, 'polling')
  assert.match(it.live.report().lastFailure.detail, /address cannot be used: SyntaxError: no such scheme/)
})

/** What a device does, and the reason that its report has then. */
const failures = {
  'the connection does not open': [async (it) => it.pass(LIVE_PACE.connect), /not open in time/],
  'the socket fails without a reason, as in a browser': [async (it) => it.socket.onerror({}), /does not say why/],
  'the server closes it': [async (it) => it.socket.onclose({ code: 1008, reason: 'policy' }), /closed, code 1008\. policy/],
  'the server does not answer the watch': [async (it) => (await it.socket.open(), it.pass(LIVE_PACE.connect)), /not answer the watch/],
  'the server refuses the watch': [
    async (it) => (await it.socket.open(), it.socket.say({ code: 'rate_limited', detail: 'Too many.' })),
    /refused the watch: rate_limited: Too many\./,
  ],
  'the server does not answer a ping': [
    async (it) => {
      await it.socket.open()
      await it.socket.say({ watching: [{ project: 'p', version: 1 }] })
      await it.pass(LIVE_PACE.ping)
      await it.pass(LIVE_PACE.pong)
    },
    /not answer a ping/,
  ],
}
for (const [name, [happens, reason]] of Object.entries(failures)) {
  test(`a report has the reason when ${name}`, async (t) => {
    const it = device(t)
    it.live.start()
    await it.pass(0)
    assert.equal(it.live.report().lastFailure, null)
    await happens(it)
    const { state, failures, lastFailure } = it.live.report()
    assert.deepEqual([state, failures], ['reconnecting', 1])
    assert.match(lastFailure.detail, reason)
  })
}

test('a report has the reason when there is no token', async (t) => {
  const it = device(t, { token: async () => Promise.reject(new Error('signed out')) })
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  assert.match(it.live.report().lastFailure.detail, /get a token: Error: signed out/)
})

test('a project that came new is watched, and none that the server refused until it is a new one', async (t) => {
  const it = await connected(t)
  const asked = () => it.socket.sent.at(-1).projects
  it.live.follow()
  assert.equal(it.socket.sent.length, 1)
  it.projects = ['p', 'q']
  it.live.follow()
  await it.pass(0)
  assert.deepEqual(asked(), ['p', 'q'])
  await it.socket.say({ watching: [{ project: 'p', version: 1 }], refused: ['q'] })
  it.live.follow()
  await it.pass(0)
  assert.equal(it.socket.sent.length, 2)
  it.projects = ['p'] // The pull found that the user is no member.
  it.live.follow()
  it.projects = ['p', 'q'] // And another one that they are again.
  it.live.follow()
  await it.pass(0)
  assert.deepEqual([it.socket.sent.length, asked()], [3, ['p', 'q']])
})

test('a project that the server refused is watched again over the next connection', async (t) => {
  const it = device(t, { projects: ['p', 'q'] })
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  await it.socket.say({ watching: [{ project: 'p', version: 1 }], refused: ['q'] })
  await it.socket.end()
  await it.pass(1_000)
  await it.socket.open()
  assert.deepEqual(it.socket.sent[0].projects, ['p', 'q'])
})

test('without a project to watch there is no connection', async (t) => {
  const it = device(t, { projects: [] })
  it.live.start()
  await it.pass(60_000)
  assert.deepEqual([it.sockets.length, it.live.state], [0, 'polling'])
  it.projects = ['p']
  it.live.follow()
  await it.pass(0)
  await it.socket.open()
  await it.socket.say({ watching: [], refused: ['p'] })
  assert.deepEqual([it.socket.isClosed, it.live.state], [true, 'polling'])
  await it.pass(600_000)
  assert.equal(it.sockets.length, 1)
})

test('of more projects than one connection may watch it watches the first hundred', async (t) => {
  const it = device(t, { projects: Array.from({ length: 130 }, (_, n) => `p${n}`) })
  it.live.start()
  await it.pass(0)
  await it.socket.open()
  assert.deepEqual(it.socket.sent[0].projects, it.projects.slice(0, 100))
})

test('whatever the server says, nothing is thrown, and only versions of projects are passed on', async (t) => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const random = new Random(seed)
  const it = await connected(t)
  const value = (depth = 0) => random.pick([null, true, 0, -1, 1.5, 2 ** 60, 'p', '', 'token_expired', ...(depth < 3 ? [[value(depth + 1)], message(depth + 1)] : [])])
  const message = (depth = 0) => {
    const names = ['watching', 'refused', 'project', 'version', 'code', 'retry_after', 'pong', '__proto__'].filter(() => random.chance(0.4))
    return Object.fromEntries(names.map((name) => [name, value(depth)]))
  }
  for (let n = 0; n < 3_000; n += 1) {
    if (it.socket.isClosed) await it.pass(61_000)
    if (!it.socket.sent.length) await it.socket.open()
    await it.socket.say(random.pick([message(), value(), '', '{', '[]', '{"project":"p"']))
  }
  assert.ok(it.moved.every(({ project, version }) => typeof project === 'string' && Number.isSafeInteger(version)), `seed ${seed}`)
  assert.ok(it.refused.every((project) => typeof project === 'string'), `seed ${seed}`)
})

/** A server that takes so many new connections a second comes back after all its devices have lost it at once. */
test('a storm: two thousand devices that lose their server at once do not keep each other out', async (t) => {
  const pass = mockClock(t)
  const random = new Random(5)
  const [devices, limit] = [2_000, 100]
  let [left, tried] = [0, 0]
  const sockets = new Set()
  class Socket {
    constructor() {
      tried += 1
      this.isTaken = left > 0
      left -= 1
      sockets.add(this)
    }

    send(text) {
      if (JSON.parse(text).action === 'watch') this.onmessage({ data: '{"watching":[{"project":"p","version":1}],"refused":[]}' })
    }

    close() {}
  }
  const lives = Array.from({ length: devices }, () =>
    new Live({ url: 'wss://server', WebSocket: Socket }, { token: async () => 't', projects: () => ['p'], moved: () => {}, refused: () => {}, changed: () => {} }, LIVE_PACE, () => random.next()))
  const turn = async () => {
    for (const socket of [...sockets]) {
      sockets.delete(socket)
      if (socket.isTaken) socket.onopen?.({})
      else socket.onclose?.({})
    }
    await settled()
  }
  const open = new Set()
  const attempts = []
  for (const live of lives) live.start()
  for (let second = 0; second < 180 && open.size < devices; second += 1) {
    left = limit
    tried = 0
    for (let tenth = 0; tenth < 10; tenth += 1) {
      await pass(100)
      await turn()
    }
    attempts.push(tried)
    for (const live of lives) if (live.state === 'live') open.add(live)
  }
  t.diagnostic(`all are back after ${attempts.length} s; attempts by second: ${attempts.slice(0, 20).join(' ')} …`)
  assert.equal(open.size, devices)
  // The least that the server needs is 20 seconds.
  assert.ok(attempts.length <= 90, `${attempts.length} seconds`)
  assert.ok(attempts.slice(30).every((tried) => tried <= 2 * limit), attempts.join(' '))
})
