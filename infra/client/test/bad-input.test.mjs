// What the package does in situations that should not occur: it shows a clear status and loses nothing.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { appSchema, tableSchema } from '@nozbe/watermelondb'
import { app, build, createSync, newDatabase, newServer, onEachAdapter, Phone, plainAnswer, schema, synced, watermelon, web, withBaseVersion } from './phone.mjs'

const home = mkdtempSync(join(tmpdir(), 'trueppm-'))
after(() => rmSync(home, { recursive: true, force: true }))

/** Checks that the edit was not lost: once everything works again, the server has it. */
async function assertArrives(phone, name) {
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.equal(phone.server.get('web', 'p', 'tasks', 't').name, name)
  assert.equal((await phone.row('tasks', 't'))._status, 'synced')
}

onEachAdapter((adapter) => {
  test(`${adapter}: a page of HTML in the place of an answer is an error, and the edit stays`, async () => {
    const phone = await synced({ adapter })
    await phone.edit('tasks', 't', { name: 'Dig deep' })
    phone.meanwhile = async () => plainAnswer(200, '<html><body>Sign in to the hotel</body></html>')
    const { state, problem, pending } = await phone.sync.now()
    assert.deepEqual([state, problem.code, pending], ['error', 'unreadable_answer', 1])
    assert.match(problem.detail, /HTML.*baseUrl/)
    await assertArrives(phone, 'Dig deep')
  })

  test(`${adapter}: a batch whose answer is cut in the middle is sent again under its key, and done once`, async () => {
    const phone = await synced({ adapter })
    await phone.edit('tasks', 't', { name: 'Dig deep' })
    phone.meanwhile = async ({ url }, plain) => {
      const whole = await plain()
      return url.endsWith('/batch/') ? plainAnswer(200, (await whole.text()).slice(0, 20)) : whole
    }
    assert.equal((await phone.sync.now()).problem.code, 'unreadable_answer')
    const { version } = phone.server.projects.get('p').row('tasks', 't')
    await assertArrives(phone, 'Dig deep')
    const [first, again] = phone.batches()
    assert.deepEqual([again.headers['Idempotency-Key'], again.body], [first.headers['Idempotency-Key'], first.body])
    assert.equal(phone.server.projects.get('p').row('tasks', 't').version, version)
  })

  test(`${adapter}: nothing is sent that could not be written down before`, async () => {
    const phone = await synced({ adapter })
    await phone.edit('tasks', 't', { name: 'Dig deep' })
    const { adapter: real } = phone.database
    const { setLocal } = real
    real.setLocal = async () => {
      throw new Error('SQLITE_FULL')
    }
    const { state, problem } = await phone.sync.now()
    assert.deepEqual([state, problem.code], ['error', 'storage_failed'])
    assert.match(problem.detail, /SQLITE_FULL/)
    assert.equal(phone.batches().length, 0)
    real.setLocal = setLocal
    await assertArrives(phone, 'Dig deep')
  })
})

test('a disk that is full when the answer comes does not make the device forget what it sent', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Dig deep' })
  const { adapter } = phone.database
  const { setLocal } = adapter
  phone.meanwhile = async ({ url }, plain) => {
    if (url.endsWith('/batch/')) adapter.setLocal = () => Promise.reject(new Error('full'))
    return plain()
  }
  assert.equal((await phone.sync.now()).problem.code, 'storage_failed')
  adapter.setLocal = setLocal
  await assertArrives(phone, 'Dig deep')
  const [first, again] = phone.batches()
  assert.equal(again.headers['Idempotency-Key'], first.headers['Idempotency-Key'])
})

test('a clock that is years off changes nothing', async (t) => {
  for (const year of [1970, 2001, 2099]) {
    t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(year, 1, 1) })
    const phone = await synced()
    await phone.edit('tasks', 't', { name: `Dig in ${year}` })
    await assertArrives(phone, `Dig in ${year}`)
    t.mock.timers.reset()
  }
})

test('a token that is refused while the clock is off says so', async () => {
  const phone = await synced()
  const problem = JSON.stringify({ status: 401, code: 'token_expired', detail: 'The token has expired.' })
  phone.meanwhile = async () => plainAnswer(401, problem, { date: new Date(Date.now() + 86_400_000).toUTCString() })
  const { state, problem: told } = await phone.sync.now()
  assert.deepEqual([state, told.code], ['error', 'token_expired'])
  assert.match(told.detail, /clock of this device is 1440 minutes off/)
})

test('two instances on one database: the second is refused, until the first has stopped', async () => {
  const phone = await synced()
  const again = () => new Phone({ server: phone.server, database: phone.database })
  assert.throws(again, { code: 'two_instances' })
  await phone.sync.stop()
  assert.equal((await again().sync.now()).state, 'synced')
})

test('an instance that is stopped and started at once is still the only one', async () => {
  const phone = await synced()
  const again = () => new Phone({ server: phone.server, database: phone.database })
  phone.sync.start()
  const stopped = phone.sync.stop()
  phone.sync.start()
  await stopped
  assert.throws(again, { code: 'two_instances' })
  const second = phone.sync.stop()
  phone.sync.start()
  await Promise.all([second, phone.sync.stop()])
  assert.equal((await again().sync.now()).state, 'synced')
})

test('an instance that was stopped does not go on beside its successor', async () => {
  const phone = await synced()
  await phone.sync.stop()
  const next = new Phone({ server: phone.server, database: phone.database })
  assert.throws(() => phone.sync.start(), { code: 'two_instances' })
  const before = phone.sent.length
  assert.equal((await phone.sync.now()).problem?.code, 'two_instances')
  assert.equal(phone.sent.length, before)
  await phone.sync.stop() // Once more: the database stays with the other one.
  assert.throws(() => phone.sync.start(), { code: 'two_instances' })
  assert.equal((await next.sync.now()).state, 'synced')
})

test('a row that the app made as a copy, with the version of the original, is a new one', async () => {
  const phone = await synced()
  const { server_version } = await phone.row('tasks', 't')
  await phone.add('tasks', { id: 'copy', name: 'bad copy', server_version })
  web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Theirs' })
  const { state, problem } = await phone.sync.now()
  assert.deepEqual([state, problem], ['synced', null])
  assert.equal(phone.sync.rejected$.value[0].method, 'POST')
  assert.ok(!phone.sent.slice(1).some(({ url }) => url.includes('since=0')), 'no repair')
  await phone.edit('tasks', 'copy', { name: 'Copy' })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal(phone.server.get('web', 'p', 'tasks', 'copy').name, 'Copy')
})

test('two databases on one file: the one that finds the other at work stops with an error, and the edit arrives', async () => {
  const server = newServer()
  const file = join(home, 'one.db')
  const [first, second] = [1, 2].map(() => new Phone({ server, database: newDatabase('SQLite', app, file) }))
  await first.sync.now()
  await second.sync.now()
  await first.edit('tasks', 't', { name: 'Dig deep' })
  const { state, problem } = await first.sync.now()
  assert.deepEqual([state, problem?.code], ['error', 'two_instances'])
  assert.equal(first.batches().length, 0)
  await assertArrives(second, 'Dig deep')
})

test('a schema without base_version is refused with what to do', () => {
  const database = newDatabase('LokiJS', schema)
  assert.throws(() => createSync({ database, watermelon, schema, baseUrl: '', token: () => '', projects: [] }), {
    code: 'schema_mismatch',
    message: /projects .* no column base_version.*withBaseVersion/,
  })
})

test('a column that the app has renamed is refused with its name', () => {
  const tables = Object.values(app.tables).map(({ name, columns }) =>
    tableSchema({ name, columns: Object.values(columns).map((column) => (column.name === 'planned_start' ? { ...column, name: 'plannedStart' } : column)) }),
  )
  const database = newDatabase('LokiJS', appSchema({ version: 1, tables }))
  assert.throws(() => createSync({ database, watermelon, schema, baseUrl: '', token: () => '', projects: [] }), {
    code: 'schema_mismatch',
    message: /tasks .* no column planned_start/,
  })
})

test('a column that the server does not send stops the sync before anything is applied', async () => {
  const tables = Object.values(schema.tables).map(({ name, columns }) =>
    tableSchema({ name, columns: [...Object.values(columns), ...(name === 'tasks' ? [{ name: 'colour', type: 'string' }] : [])] }),
  )
  const newer = appSchema({ version: 1, tables })
  const database = newDatabase('LokiJS', withBaseVersion(newer, build))
  const phone = new Phone({ server: newServer(), database, options: { schema: newer } })
  await phone.add('tasks', { id: 'mine', name: 'Mine', colour: 'red' })
  const { state, problem } = await phone.sync.now()
  assert.deepEqual([state, problem.code], ['error', 'schema_mismatch'])
  assert.match(problem.detail, /no colour for tasks/)
  assert.equal(await phone.row('tasks', 't'), undefined)
  assert.equal((await phone.row('tasks', 'mine')).name, 'Mine')
})

test('one operation for which the server refuses the whole batch is found, and the others arrive', async () => {
  const phone = await synced()
  for (const n of [1, 2, 3, 4, 5]) await phone.add('tasks', { id: `n${n}`, name: n === 3 ? 'poison' : `Task ${n}` })
  phone.meanwhile = async ({ body }, plain) =>
    body?.includes('poison') ? plainAnswer(400, JSON.stringify({ status: 400, code: 'malformed_json', detail: 'poison' })) : plain()
  await phone.sync.now()
  const there = ['n1', 'n2', 'n3', 'n4', 'n5'].filter((id) => phone.server.projects.get('p').live('tasks', id))
  assert.deepEqual(there, ['n1', 'n2', 'n4', 'n5'])
  assert.deepEqual(phone.sync.rejected$.value.map(({ id, problem }) => [id, problem.code]), [['n3', 'malformed_json']])
})

for (const [what, notes] of [['letters', 'x'.repeat(2_000_001)], ['characters of three bytes', '€'.repeat(700_000)]]) {
  test(`an edit that is too large for any request, of ${notes.length} ${what}, is refused on the device, and holds up nothing`, async () => {
    const phone = await synced()
    await phone.edit('tasks', 't', { notes })
    await phone.add('tasks', { id: 'n', name: 'Other' })
    web(phone.server, 'POST', 'tasks', 'w', { id: 'w', name: 'Theirs' })
    const { state, pending } = await phone.sync.now()
    assert.deepEqual([state, pending], ['synced', 1])
    assert.equal(phone.server.get('web', 'p', 'tasks', 'n').name, 'Other')
    assert.equal((await phone.row('tasks', 'w')).name, 'Theirs')
    const [{ id, problem }] = phone.sync.rejected$.value
    assert.deepEqual([id, problem.code], ['t', 'not_sendable'])
    assert.match(problem.detail, /2\.\d MB/)
    assert.ok(phone.batches().every(({ body }) => body.length < 1_000))
    await phone.edit('tasks', 't', { notes: 'Short' })
    assert.equal((await phone.sync.now()).pending, 0)
    assert.equal(phone.server.get('web', 'p', 'tasks', 't').notes, 'Short')
  })
}

test('an edit that just fits into a request is sent', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { notes: 'x'.repeat(1_999_000) })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal(phone.server.get('web', 'p', 'tasks', 't').notes.length, 1_999_000)
})

test('an edit that a gateway refuses as too large, without a problem, is found and shown, and the others arrive', async () => {
  const phone = await synced()
  for (const n of [1, 2, 3, 4, 5]) await phone.add('tasks', { id: `n${n}`, name: n === 3 ? 'poison' : `Task ${n}` })
  await phone.edit('projects', 'p', { description: 'poison' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  phone.meanwhile = async ({ body }, plain) => (body?.includes('poison') ? plainAnswer(413, '{"message":"Request Entity Too Large"}') : plain())
  const { state, pending } = await phone.sync.now()
  assert.deepEqual([state, pending], ['synced', 2])
  const there = ['n1', 'n2', 'n3', 'n4', 'n5'].filter((id) => phone.server.projects.get('p').live('tasks', id))
  assert.deepEqual(there, ['n1', 'n2', 'n4', 'n5'])
  assert.deepEqual(phone.sync.rejected$.value.map(({ id, problem }) => [id, problem.code]).sort(), [['n3', 'http_413'], ['p', 'http_413']])
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
})

test('an old row between two pages does not take the place of a newer one', async () => {
  const phone = await synced()
  const old = phone.server.pulled(phone.server.projects.get('p'), phone.server.projects.get('p').row('tasks', 't'))
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Newer' })
  await phone.sync.now()
  phone.meanwhile = async ({ url }, plain) => {
    if (!url.includes('/sync/')) return plain()
    const body = JSON.parse(await (await plain()).text())
    delete body.checksum
    body.changes.tasks.updated.push(old)
    return plainAnswer(200, JSON.stringify(body))
  }
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).name, 'Newer')
})

test('a write of the state that is reported as failed and was made is taken as made', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Dig deep' })
  const { adapter } = phone.database
  const { setLocal } = adapter
  adapter.setLocal = async (...args) => {
    await setLocal.apply(adapter, args)
    adapter.setLocal = setLocal
    throw new Error('SQLITE_IOERR')
  }
  assert.equal((await phone.sync.now()).problem.code, 'storage_failed')
  await assertArrives(phone, 'Dig deep')
  assert.equal(phone.batches().length, 1)
})
