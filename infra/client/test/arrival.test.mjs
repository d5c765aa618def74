// What an arriving row settles, and what it does not. Each test plays the one order of events that needs its rule.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { appsOf } from './fuzz/schemas.mjs'
import { failWrite, newDatabase, newServer, Phone, schema, stateOf, synced, web, whilePulling, withBaseVersion, withoutPulls } from './phone.mjs'

const home = mkdtempSync(join(tmpdir(), 'trueppm-'))
after(() => rmSync(home, { recursive: true, force: true }))

const task = (phone, id = 't') => phone.server.get('web', 'p', 'tasks', id)

test('an edit back to an accepted and replaced value is sent, even if another field of the row was accepted since', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  phone.meanwhile = async ({ url }, plain) => {
    if (url.includes('/sync/')) web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
    return plain()
  }
  const { mark } = await stateOf(phone)
  failWrite(phone, (state) => state.mark > mark) // The row has come, and that is not noted.
  await phone.sync.now()
  await phone.edit('tasks', 't', { notes: 'Mine' })
  withoutPulls(phone)
  await phone.sync.now()
  await phone.edit('tasks', 't', { name: 'Mine' })
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).pending, 0)
  assert.deepEqual([task(phone).name, task(phone).notes], ['Mine', 'Mine'])
})

test('an edit whose answer was lost, and that somebody has replaced since, causes no conflict', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  phone.meanwhile = async ({ url }, plain) => {
    await plain()
    throw new Error(`the answer of ${url} is lost`)
  }
  assert.equal((await phone.sync.now()).state, 'offline')
  assert.equal(task(phone).name, 'Mine')
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).pending, 0)
  assert.deepEqual(phone.sync.conflicts$.value, [])
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
})

test('two users who type the same are not asked, and the second edit is not sent', async () => {
  const phone = await synced()
  whilePulling(phone, async () => {
    await phone.edit('tasks', 't', { name: 'Same' })
    web(phone.server, 'PATCH', 'tasks', 't', { name: 'Same' })
  })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.deepEqual([phone.batches().length, (await phone.row('tasks', 't'))._status], [0, 'synced'])
})

test('a row that was created here and has come back is not created again: later edits send only what they change', async () => {
  const phone = await synced()
  await phone.add('tasks', { id: 'new', name: 'New' })
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 'new'))._status, 'synced')
  await phone.edit('tasks', 'new', { name: 'Newer' })
  await phone.sync.now()
  const [{ method, body }] = JSON.parse(phone.batches().at(-1).body).operations
  assert.deepEqual([method, body], ['PATCH', { name: 'Newer' }])
})

test('an edit that is made while another one is on its way is not taken for sent, and is sent alone', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  let isFirst = true
  phone.meanwhile = async ({ url }, plain) => {
    const answer = await plain()
    if (url.endsWith('/batch/') && isFirst) {
      isFirst = false
      await phone.edit('tasks', 't', { notes: 'Mine' })
    }
    return answer
  }
  assert.equal((await phone.sync.now()).pending, 0)
  const sent = phone.batches().map(({ body }) => JSON.parse(body).operations.map((operation) => operation.body))
  assert.deepEqual(sent, [[{ name: 'Mine' }], [{ notes: 'Mine' }]])
  assert.deepEqual([task(phone).name, task(phone).notes], ['Mine', 'Mine'])
})

test('JSON that the user only writes differently changes nothing on the server, and the next sync brings its form', async () => {
  const phone = await synced()
  await phone.add('calendars', { id: 'site', name: 'Site', exceptions: '[{"start":"2026-05-01","end":"2026-05-01"}]' })
  await phone.sync.now()
  const { exceptions } = await phone.row('calendars', 'site')
  const { version } = phone.server.projects.get('p').row('calendars', 'site')
  await phone.edit('calendars', 'site', { exceptions: '[ {"end":"2026-05-01", "start":"2026-05-01"} ]' })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal((await phone.sync.now()).pending, 0)
  const row = await phone.row('calendars', 'site')
  assert.deepEqual([row.exceptions, row._status, row.server_version], [exceptions, 'synced', version])
  const { fetch, acks } = await stateOf(phone)
  assert.deepEqual([fetch, acks, phone.batches().length], [{}, {}, 2])
})

test('an edit that is made after the last request of a sync is not marked as sent by the pull', async () => {
  const phone = await synced()
  whilePulling(phone, () => phone.edit('tasks', 't', { name: 'Mine' }))
  await phone.sync.now()
  await phone.sync.now()
  assert.equal(task(phone).name, 'Mine')
})

test('a column of the app\'s own is not sent, and an edit of nothing else leaves nothing to send', async () => {
  const { today } = appsOf(schema, withBaseVersion)
  const phone = await synced({ database: newDatabase('LokiJS', today.app), options: { schema: today.schema } })
  await phone.edit('tasks', 't', { is_open: true })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal(phone.batches().length, 0)
  const { is_open, _status } = await phone.row('tasks', 't')
  assert.deepEqual([is_open, _status], [true, 'synced'])
  await phone.edit('tasks', 't', { is_open: false, name: 'Mine' })
  await phone.sync.now()
  assert.deepEqual(JSON.parse(phone.batches()[0].body).operations[0].body, { name: 'Mine' })
})

/** A phone in the middle of its first sync: it has the first page, with `t`, and an edit of it that the server has accepted. */
async function betweenPages(options) {
  const phone = new Phone({ server: newServer({ pageSize: 5, ...options }) })
  for (let n = 0; n < 12; n += 1) web(phone.server, 'POST', 'tasks', `n${n}`, { id: `n${n}`, name: `Task ${n}` })
  withoutPulls(phone, 2)
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).name, 'Dig')
  return phone
}

test('between two pages of a first sync, a row as it was before an accepted edit does not replace the edit', async () => {
  const phone = await betweenPages({ random: () => 0 }) // A page shows rows as they were, if it may.
  web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Theirs' })
  for (const id of ['a', 'b', 'c', 'd']) web(phone.server, 'POST', 'tasks', id, { id, name: 'Later' })
  await phone.edit('tasks', 't', { name: 'Mine' })
  withoutPulls(phone, 4) // The third of these pages has the notes.
  await phone.sync.now()
  const { name, notes } = await phone.row('tasks', 't')
  assert.deepEqual([name, notes, task(phone).name], ['Mine', 'Theirs', 'Mine'])
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal((await phone.row('tasks', 't')).name, 'Mine')
})

test('an accepted edit stays an edit until it has come back: a server that is restored in between gets it again', async () => {
  const phone = await betweenPages()
  const project = phone.server.projects.get('p')
  const backup = phone.server.backup(project)
  await phone.edit('tasks', 't', { name: 'Mine' })
  withoutPulls(phone, 2) // Another page comes, without the row.
  await phone.sync.now()
  assert.equal(task(phone).name, 'Mine')
  phone.server.restore(project, backup)
  phone.meanwhile = null
  await phone.sync.now()
  const asked = phone.sync.conflicts$.value.map(({ mine }) => mine)
  assert.ok(task(phone).name === 'Mine' || asked[0] === 'Mine')
})

test('an update of the app with a new column brings the values of rows that have not changed, and keeps unsent edits', async () => {
  const { before, today } = appsOf(schema, withBaseVersion)
  const file = join(home, 'columns.db')
  const server = newServer()
  web(server, 'PATCH', 'tasks', 't', { notes: 'Wet' })
  const old = new Phone({ server, database: newDatabase('SQLite', before.app, file), options: { schema: before.schema } })
  assert.equal((await old.sync.now()).state, 'synced')
  await old.edit('tasks', 't', { percent_complete: 50 })
  await old.sync.stop()
  const phone = new Phone({ server, database: newDatabase('SQLite', today.app, file, today.migrations), options: { schema: today.schema } })
  whilePulling(phone, () => phone.edit('tasks', 't', { name: 'Mine' }))
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.deepEqual([(await phone.row('tasks', 't')).notes, task(phone).percent_complete, task(phone).name], ['Wet', 50, 'Mine'])
  const whole = phone.sent.filter(({ url }) => url.includes('since=0')).length
  await phone.sync.now()
  assert.deepEqual([whole, phone.sent.filter(({ url }) => url.includes('since=0')).length], [1, 1], 'once')
})
