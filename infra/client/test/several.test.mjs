// One project that fails, and the others: none waits for it.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { MockLive } from './mock/live.mjs'
import { newServer, Phone, plainAnswer } from './phone.mjs'

const ends = []
after(() => Promise.all(ends.map((end) => end())))

async function until(what, condition) {
  for (const end = Date.now() + 30_000; Date.now() < end; await pause(10)) if (await condition()) return
  assert.fail(`${what}: not within half a minute`)
}

const problem = (status, code) => plainAnswer(status, JSON.stringify({ status, code, detail: '…' }))
const failures = {
  internal_error: () => problem(500, 'internal_error'),
  not_proven: () => problem(503, 'not_proven'),
  busy: () => problem(503, 'busy'),
  outcome_unknown: () => problem(503, 'outcome_unknown'),
  unavailable: () => problem(503, 'unavailable'),
  http_504: () => plainAnswer(504, '{"message":"Endpoint request timed out"}'),
  http_404: () => plainAnswer(404, 'no such page'),
  unreadable_answer: () => plainAnswer(200, '{"changes":'),
  network: () => Promise.reject(new Error('no answer in time')),
}
const isOfOne = (code) => ['internal_error', 'not_proven', 'busy', 'outcome_unknown'].includes(code)
const projectOf = (url) => url.match(/projects\/([^/?]+)/)?.[1]

/** A phone with projects p, q and r, of which each has a task; requests for those in `sick` fail. */
function phoneOfThree({ sick = {}, projects = ['p', 'q', 'r'], options } = {}) {
  const server = newServer()
  for (const id of ['q', 'r']) {
    server.join(server.create(id, 'web'), 'ann', 400)
    server.single('web', id, `make-${id}`, 'POST', 'tasks', `t${id}`, { id: `t${id}`, name: 'Dig' }, {})
  }
  const phone = new Phone({ server, projects, options })
  ends.push(() => phone.sync.stop())
  phone.sick = sick
  phone.meanwhile = ({ url }, plain) => (phone.sick[projectOf(url)] ?? plain)()
  phone.asked = () => phone.sent.splice(0).map(({ url }) => projectOf(url))
  phone.nameOf = (id) => server.get('web', id, 'tasks', `t${id}`).name
  phone.change = (id, fields) => server.single('web', id, `${Math.random()}`, 'PATCH', 'tasks', `t${id}`, fields, {})
  return phone
}

for (const [code, fails] of Object.entries(failures)) {
  for (const projects of [['p', 'q', 'r'], ['q', 'p', 'r'], 'mine']) {
    test(`a project that keeps failing with ${code} keeps no other from being pushed and pulled, with ${projects}`, async () => {
      const phone = phoneOfThree({ projects })
      assert.equal((await phone.sync.now()).state, 'synced')
      phone.sick = { q: fails }
      await phone.edit('tasks', 'tr', { name: 'Mine' })
      phone.change('r', { notes: 'Theirs' })
      phone.change('q', { notes: 'Unseen' })
      // If it is asked first, it may be an outage, as far as can be told. The next time it is asked last.
      if (projects[0] === 'q' && !isOfOne(code)) await phone.sync.now()
      const { projects: told } = await phone.sync.now()
      assert.deepEqual([told.p.problem, told.q.problem.code, told.r.problem], [null, code, null])
      assert.deepEqual([phone.nameOf('r'), (await phone.row('tasks', 'tr')).notes], ['Mine', 'Theirs'])
    })
  }
}

for (const code of ['network', 'http_504', 'http_404', 'unavailable', 'unreadable_answer']) {
  test(`where all fail with ${code} an attempt costs one request, and each time another project is asked`, async () => {
    const fails = failures[code]
    const phone = phoneOfThree({ sick: { p: fails, q: fails, r: fails } })
    for (const id of ['p', 'q', 'r', 'p']) {
      const { state } = await phone.sync.now()
      assert.notEqual(state, 'synced')
      assert.deepEqual(phone.asked(), [id])
    }
  })
}

test('after two projects in a row without an answer nobody else is asked, unless the first is known to fail by itself', async () => {
  const phone = phoneOfThree({ projects: ['p', 'q', 'r', 's'] })
  phone.server.join(phone.server.create('s', 'web'), 'ann', 400)
  phone.sick = { q: failures.http_504, r: failures.http_504 }
  const first = await phone.sync.now()
  assert.deepEqual([phone.asked(), first.problem === first.projects.r.problem], [['p', 'q', 'r'], true], 'an outage, as far as can be told')
  const second = await phone.sync.now()
  assert.deepEqual([phone.asked(), second.problem === second.projects.q.problem], [['p', 's', 'q', 'r'], true], 'none: the others were served')
  phone.sick.p = failures.http_504
  phone.sick.s = failures.http_504
  const third = await phone.sync.now()
  assert.deepEqual([phone.asked(), third.problem === third.projects.p.problem], [['p'], true])
})

/** As long as it fails, the server asks to wait for an hour: what is asked for meanwhile was asked for without a reason. */
const failsForAnHour = () => plainAnswer(503, '{"status":503,"code":"busy","detail":"…"}', { 'retry-after': '3600' })

test('an edit of one project is sent while another one has to wait for an hour', async () => {
  const phone = phoneOfThree({ sick: { q: failsForAnHour } })
  phone.sync.start()
  await until('all were tried', () => phone.sync.status$.value.projects.r?.lastSyncedAt && phone.sync.status$.value.projects.q.problem)
  await phone.sync.now()
  phone.asked()
  for (const id of ['p', 'r']) {
    const [table, row] = ['tasks', id === 'p' ? 't' : 'tr']
    await phone.edit(table, row, { name: 'By itself' })
    await until('sent', () => phone.server.get('web', id, table, row).name === 'By itself')
  }
  await until('done', () => phone.sync.status$.value.pending === 0)
  assert.ok(!phone.asked().includes('q'))
})

test('an edit of a project that has to wait, and a sync of all that nobody asked for, leave it alone', async () => {
  let tell
  const network = (listener) => {
    tell = listener
    return () => {}
  }
  const phone = phoneOfThree({ options: { network } })
  phone.sync.start()
  await until('synced', () => phone.sync.status$.value.projects.r?.lastSyncedAt)
  await phone.sync.now()
  phone.sick = { q: failsForAnHour }
  await phone.edit('tasks', 'tq', { name: 'Mine' })
  await until('failed', () => phone.sync.status$.value.projects.q.problem)
  phone.asked()
  tell(true)
  await until('the others were synced', () => phone.sent.some(({ url }) => projectOf(url) === 'r'))
  await phone.edit('tasks', 'tq', { name: 'Mine, again' })
  await phone.edit('tasks', 'tr', { name: 'Mine' })
  await until('sent', () => phone.nameOf('r') === 'Mine')
  assert.ok(!phone.asked().includes('q'))
  phone.sick = {}
  assert.equal((await phone.sync.now()).pending, 0, 'unlike one that the user asked for')
  assert.equal(phone.nameOf('q'), 'Mine, again')
})

/** A started phone whose projects are synced. The pauses after failures are the longest. */
async function startedPhone(t) {
  const phone = phoneOfThree()
  phone.sync.start()
  await until('synced', () => phone.sync.status$.value.projects.r?.lastSyncedAt)
  await phone.sync.now()
  t.mock.method(Math, 'random', () => 0.999)
  return phone
}

test('an edit of a project that failed by itself waits for the end of its pause, and is not sent with those of others', async (t) => {
  const phone = await startedPhone(t)
  phone.sick = { q: failures.http_404 }
  phone.change('q', { notes: 'Unseen' })
  for (let n = 0; n < 6; n += 1) await phone.sync.now() // The pause is two minutes now.
  phone.asked()
  await phone.edit('tasks', 'tq', { name: 'Mine' })
  await until('counted', () => phone.sync.status$.value.projects.q.pending === 1)
  await phone.edit('tasks', 'tr', { name: 'Mine' })
  await until('sent', () => phone.nameOf('r') === 'Mine')
  await until('done', () => phone.sync.status$.value.projects.r.pending === 0)
  assert.ok(!phone.asked().includes('q'))
})

test('a project that failed by itself is tried again at its time although another one was synced meanwhile', async (t) => {
  const phone = await startedPhone(t)
  phone.sick = { q: failures.http_404 }
  await phone.sync.now()
  phone.sick = {}
  phone.change('q', { name: 'Theirs' })
  await phone.edit('tasks', 'tr', { name: 'Mine' })
  await until('sent', () => phone.nameOf('r') === 'Mine')
  await until('pulled', async () => (await phone.row('tasks', 'tq')).name === 'Theirs')
})

test('a project that failed once is tried again by itself', async () => {
  const phone = phoneOfThree()
  phone.sync.start()
  await until('synced', () => phone.sync.status$.value.projects.r?.lastSyncedAt)
  await phone.sync.now()
  phone.sick = {
    q: () => {
      phone.sick = {}
      return failures.internal_error()
    },
  }
  phone.change('q', { name: 'Theirs' })
  phone.asked()
  phone.sync.poke({ project: 'q', version: 1_000 })
  await until('pulled', async () => (await phone.row('tasks', 'tq')).name === 'Theirs')
  assert.deepEqual(phone.asked(), ['q', 'q'])
})

test('a poke pulls its project alone while another one fails, and pokes of the one that fails do nothing', async () => {
  const phone = phoneOfThree()
  const live = await MockLive.start(phone.server)
  ends.push(() => live.stop())
  await phone.sync.now()
  await phone.sync.stop()
  const other = new Phone({ server: phone.server, projects: 'mine', database: phone.database, options: { live: live.options } })
  ends.push(() => other.sync.stop())
  other.meanwhile = ({ url }, plain) => (projectOf(url) === 'q' ? failsForAnHour() : plain())
  phone.change('q', { name: 'Unseen' })
  other.sync.start()
  await until('live', () => other.sync.status$.value.live === 'live')
  await until('all were tried', () => other.sync.status$.value.projects.q?.problem && other.sync.status$.value.state === 'error')
  await other.sync.now()
  other.sent.length = 0
  for (const name of ['Two', 'Three']) {
    phone.change('r', { name })
    for (const id of ['q', 'r', 'q']) live.poke(id)
    await until('pulled', async () => (await other.row('tasks', 'tr')).name === name)
  }
  assert.deepEqual(new Set(other.sent.map(({ url }) => projectOf(url))), new Set(['r']))
})

test('what was wanted when an outage began is done when it is over, although another project is due first', async (t) => {
  const phone = await startedPhone(t)
  phone.sick = { q: failures.http_404 }
  await phone.sync.now()
  phone.sick = { q: failures.http_404, r: failures.network }
  phone.change('r', { name: 'Theirs' })
  Math.random.mock.mockImplementation(() => 0)
  phone.sync.poke({ project: 'r', version: 1_000 })
  Math.random.mock.mockImplementation(() => 0.999)
  await until('offline', () => phone.sync.status$.value.state === 'offline')
  phone.sick = { q: failures.http_404 }
  await until('pulled', async () => (await phone.row('tasks', 'tr')).name === 'Theirs')
})
