// Which projects moved: asked once, in the place of a pull of each.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appsOf } from './fuzz/schemas.mjs'
import { newDatabase, newServer, Phone, plainAnswer, schema, web, withBaseVersion } from './phone.mjs'

const IDS = ['p', 'q', 'r', 's', 't']

/** A phone of all projects of its user, of which there are five, after its first sync. */
async function phoneOfFive(options) {
  const server = newServer()
  for (const id of IDS.slice(1)) server.join(server.create(id, 'web'), 'ann', 400)
  const phone = new Phone({ server, projects: 'mine', ...options })
  const { state, problem } = await phone.sync.now()
  assert.equal(state, 'synced', JSON.stringify(problem))
  phone.pulled = () => phone.sent.splice(0).filter(({ url }) => url.includes('/sync/')).map(({ url }) => url.split('/')[6])
  return phone
}

test('the first sync since the app began pulls every project, and later ones those that moved', async () => {
  const phone = await phoneOfFive()
  assert.deepEqual(phone.pulled().sort(), IDS)
  await phone.sync.now()
  const asked = phone.sent.map(({ url }) => new URL(url).pathname)
  assert.deepEqual(asked, ['/api/v1/heads/', '/api/v1/heads/', '/api/v1/heads/'], 'three pages')
  phone.pulled()
  const before = phone.sync.status$.value.projects.q.lastSyncedAt
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Moved' })
  await phone.sync.now()
  assert.deepEqual(phone.pulled(), ['p'])
  assert.equal((await phone.row('tasks', 't')).name, 'Moved')
  assert.ok(phone.sync.status$.value.projects.q.lastSyncedAt >= before)
  await phone.sync.stop()
  const again = new Phone({ server: phone.server, projects: 'mine', database: phone.database })
  await again.sync.now()
  assert.equal(again.sent.filter(({ url }) => url.includes('/sync/')).length, 5, 'it compares checksums')
})

test('an edit is sent although the project did not move', async () => {
  const phone = await phoneOfFive()
  await phone.edit('tasks', 't', { name: 'Mine' })
  assert.deepEqual((await phone.sync.now()).pending, 0)
  assert.equal(phone.server.projects.get('p').row('tasks', 't').fields.name, 'Mine')
})

test('a project that is not named is pulled, which takes its rows away', async () => {
  const phone = await phoneOfFive()
  phone.pulled()
  phone.server.leave(phone.server.projects.get('p'), 'ann')
  await phone.sync.now()
  assert.deepEqual(phone.pulled(), ['p'])
  assert.equal(await phone.row('tasks', 't'), undefined)
  await phone.sync.now()
  assert.equal(phone.sync.status$.value.projects.p.state, 'gone')
})

test('a value that was given up is fetched although the project did not move', async () => {
  const phone = await phoneOfFive()
  await phone.edit('tasks', 't', { percent_complete: 200 })
  await phone.sync.now()
  const [refused] = phone.sync.rejected$.value
  await phone.sync.discard(refused)
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).percent_complete, 0)
})

test('an edit of a column of the app, which is never sent, is settled although the project did not change', async () => {
  const { today } = appsOf(schema, withBaseVersion)
  const database = newDatabase('LokiJS', today.app)
  const phone = await phoneOfFive({ database })
  await phone.sync.now()
  phone.pulled()
  await phone.edit('tasks', 't', { is_open: true })
  await phone.sync.now()
  assert.deepEqual([phone.pulled(), (await phone.row('tasks', 't'))._status], [[], 'synced'])
})

test('a server that does not know the heads is asked for its projects, and each is pulled', async () => {
  const phone = new Phone({ server: newServer(), projects: 'mine' })
  phone.meanwhile = ({ url }, plain) => (url.includes('/heads/') ? plainAnswer(404, '{"code":"no_such_route","detail":"…"}') : plain())
  for (let n = 0; n < 2; n += 1) assert.equal((await phone.sync.now()).state, 'synced')
  assert.equal(phone.sent.filter(({ url }) => url.includes('/sync/')).length, 2)
})

test('a server that answers something else than heads changes nothing', async () => {
  for (const text of ['[]', '{"heads":{}}', '{"heads":[1]}', '{"heads":[{"project":"p"}],"next":null}', '{"heads":[{"project":"p","version":"x"}],"next":7}']) {
    const phone = await phoneOfFive()
    phone.meanwhile = ({ url }, plain) => (url.includes('/heads/') ? plainAnswer(200, text) : plain())
    const { state, projects } = await phone.sync.now()
    assert.ok(['synced', 'error'].includes(state), text)
    assert.ok(Object.values(projects).every(({ state }) => state !== 'gone'), text)
    assert.ok(await phone.row('tasks', 't'), text)
  }
})
