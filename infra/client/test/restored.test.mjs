// Devices after the server was restored from a backup, and devices that have lost their own data.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { appsOf } from './fuzz/schemas.mjs'
import { newDatabase, newServer, Phone, plainAnswer, schema, stateOf, synced, web, withBaseVersion, withoutPulls } from './phone.mjs'

const home = mkdtempSync(join(tmpdir(), 'trueppm-'))
after(() => rmSync(home, { recursive: true, force: true }))

/** The server loses what happens. */
async function lost(server, happens) {
  const project = server.projects.get('p')
  const backup = server.backup(project)
  await happens()
  server.restore(project, backup)
}

/** The edit is on the server, or its user is asked about it. */
function assertKept(phone) {
  const { name } = phone.server.get('web', 'p', 'tasks', 't')
  assert.ok(name === 'Mine' || phone.sync.conflicts$.value[0]?.mine === 'Mine', `the server has ${name}`)
}

test('a row that was accepted before the first pull, and that the server has lost, is created again', async () => {
  const phone = new Phone({ server: newServer() })
  await lost(phone.server, async () => {
    await phone.add('tasks', { id: 'new', name: 'New' })
    withoutPulls(phone)
    await phone.sync.now()
    assert.equal(phone.server.get('web', 'p', 'tasks', 'new').name, 'New')
  })
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal(phone.server.get('web', 'p', 'tasks', 'new').name, 'New')
})

test('a repair after the server was restored keeps edits that it had accepted and has lost', async () => {
  const phone = await synced()
  await lost(phone.server, async () => {
    await phone.edit('tasks', 't', { name: 'Mine' })
    await phone.add('tasks', { id: 'new', name: 'New' })
    withoutPulls(phone)
    await phone.sync.now()
  })
  phone.meanwhile = null
  await phone.sync.repair('p')
  await phone.sync.now()
  assertKept(phone)
  assert.equal(phone.server.get('web', 'p', 'tasks', 'new').name, 'New')
})

test('the pull of a new column after the server was restored keeps edits that it had accepted and has lost', async () => {
  const { before, today } = appsOf(schema, withBaseVersion)
  const file = join(home, 'restored.db')
  const server = newServer()
  const old = new Phone({ server, database: newDatabase('SQLite', before.app, file), options: { schema: before.schema } })
  await old.sync.now()
  await lost(server, async () => {
    await old.edit('tasks', 't', { name: 'Mine' })
    withoutPulls(old)
    await old.sync.now()
    await old.sync.stop()
  })
  const phone = new Phone({ server, database: newDatabase('SQLite', today.app, file, today.migrations), options: { schema: today.schema } })
  await phone.sync.now()
  assertKept(phone)
})

test('an update of the app within a first sync fills a new column of the rows that had come before, too', async () => {
  const { before, today } = appsOf(schema, withBaseVersion)
  const file = join(home, 'first.db')
  const server = newServer({ pageSize: 3 })
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) web(server, 'POST', 'tasks', id, { id, name: id, notes: `Notes of ${id}` })
  const old = new Phone({ server, database: newDatabase('SQLite', before.app, file), options: { schema: before.schema } })
  withoutPulls(old, 3)
  await old.sync.now()
  assert.ok(await old.row('tasks', 'a'))
  await old.sync.stop()
  const phone = new Phone({ server, database: newDatabase('SQLite', today.app, file, today.migrations), options: { schema: today.schema } })
  assert.equal((await phone.sync.now()).state, 'synced')
  for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) assert.equal((await phone.row('tasks', id)).notes, `Notes of ${id}`)
})

test('a device that lost its mark drops rows that the server does not have, even if no checksum shows them', async () => {
  const before = await synced()
  const { server, database } = before
  await lost(server, async () => {
    web(server, 'POST', 'tasks', 'gone', { id: 'gone', name: 'Gone' })
    await before.sync.now()
  })
  await before.sync.stop()
  await database.localStorage.remove('trueppm:project:p')
  const phone = new Phone({ server, database })
  await phone.edit('tasks', 't', { notes: 'Mine' })
  await phone.edit('tasks', 'gone', { notes: 'Unsent' })
  phone.meanwhile = async ({ url }, plain) => {
    if (!url.includes('/sync/')) return plain()
    const { checksum: _, ...body } = JSON.parse(await (await plain()).text())
    return plainAnswer(200, JSON.stringify(body))
  }
  await phone.sync.now()
  assert.equal(await phone.row('tasks', 'gone'), undefined)
  assert.deepEqual(phone.sync.aside$.value.map(({ id, values, reason }) => [id, values.notes, reason]), [['gone', 'Unsent', 'not on the server']])
  assert.equal((await phone.row('tasks', 't')).notes, 'Mine')
  assert.ok((await stateOf(phone)).mark > 0)
})
