// The code of infra/docs/plain-client.md, as it stands there.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, mock, test } from 'node:test'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import { assertDeviceEqualsServer, checksumOf } from './assertions.mjs'
import { complaints, Device } from './device.mjs'
import { openDatabase, sendChange, syncProject } from './pages.mjs'
import { baseUrl, newUser, Project, Role, tokenFor } from './server.mjs'

const { fetch } = globalThis

afterEach(() => mock.restoreAll())

const home = mkdtempSync(join(tmpdir(), 'quickstart-'))
process.once('exit', () => rmSync(home, { recursive: true, force: true }))

/** A phone with the app of the page on it. */
class Phone extends Device {
  open() {
    this.database = openDatabase(join(home, `${randomUUID()}.db`))
  }

  get at() {
    return { baseUrl, projectId: this.project.id, token: this.token }
  }

  sync(options) {
    return syncProject({ database: this.database, ...this.at, ...options })
  }
}

/** The app's requests from here on, each as the server answered it, or as `instead` does. */
function watch(instead = (url, options) => fetch(url, options)) {
  const seen = []
  mock.method(globalThis, 'fetch', async (url, options) => {
    const response = await instead(url, options, seen.length)
    seen.push({ url, options, status: response.status })
    return response
  })
  return seen
}

async function furnished() {
  const project = await Project.create()
  const [first, second] = await project.addTasks(5)
  await project.addDependency(first, second)
  await project.addCalendar()
  return project
}

test('a first sync makes the phone equal to the server, and its checksum says so', async () => {
  const phone = new Phone('SQLite', await furnished())
  complaints.length = 0
  const checksum = await phone.sync()
  assert.deepEqual(complaints, [])
  await assertDeviceEqualsServer(phone)
  assert.deepEqual(await checksumOf(phone), checksum)
})

test('a sync goes on until it has every page', async () => {
  const phone = new Phone('SQLite', await furnished())
  const seen = watch((url, options) => fetch(`${url}&limit=3`, options))
  await phone.sync()
  mock.restoreAll()
  assert.equal(seen.length, 3)
  await assertDeviceEqualsServer(phone)
})

test('a phone with a row that the server does not have replaces everything, page by page', async () => {
  const phone = new Phone('SQLite', await furnished())
  const before = await phone.sync()
  const [task] = await phone.project.list('tasks')
  const timestamp = await phone.cursor()
  const tasks = { created: [], updated: [{ ...task, id: 'ghost' }], deleted: [] }
  const pullChanges = async () => ({ changes: { tasks }, timestamp })
  await synchronize({ database: phone.database, sendCreatedAsUpdated: true, pullChanges })
  await phone.sync()
  assert.notDeepEqual((await checksumOf(phone)).tasks, before.tasks)

  const seen = watch((url, options) => fetch(`${url}&limit=3`, options))
  await phone.sync({ replace: true })
  mock.restoreAll()
  assert.deepEqual(seen.map(({ url }) => new URL(url).searchParams.get('since') === '0'), [true, false, false])
  await assertDeviceEqualsServer(phone)
})

test('a change that was sent is on the phone after the next sync', async () => {
  const phone = new Phone('SQLite', await furnished())
  await phone.sync()
  const body = { id: randomUUID(), name: 'Roof', duration: 4 }
  const { row, version } = await sendChange(phone.at, { method: 'POST', path: 'tasks/', body, key: randomUUID() })
  assert.equal(row.name, 'Roof')
  await phone.sync({ minVersion: version })
  assert.equal((await phone.row('tasks', body.id)).duration, 4)
  await assert.rejects(phone.sync({ minVersion: version + 1000 }), { code: 'min_version_ahead_of_server' })

  const path = `tasks/${body.id}/`
  const edit = { method: 'PATCH', path, body: { duration: 5 }, key: randomUUID(), baseVersion: row.server_version }
  await phone.project.change('tasks', body.id, { notes: 'by someone else' })
  assert.equal((await sendChange(phone.at, edit)).row.notes, 'by someone else')
  const other = { ...edit, body: { duration: 6 }, key: randomUUID() }
  await assert.rejects(sendChange(phone.at, other), { status: 409, code: 'sync_conflict' })
  const removal = { method: 'DELETE', path, key: randomUUID() }
  await phone.sync({ minVersion: (await sendChange(phone.at, removal)).version })
  assert.equal(await phone.row('tasks', body.id), undefined)
  await assertDeviceEqualsServer(phone)
})

test('a change whose answer is a 503 is sent again with its key, and happens once', async () => {
  const phone = new Phone('SQLite', await furnished())
  const lost = { status: 503, headers: { 'Retry-After': '7' } }
  const seen = watch(async (url, options, before) => {
    const response = await fetch(url, options)
    return before < 2 ? new Response(null, lost) : response
  })
  const waits = []
  const at = { ...phone.at, wait: async (seconds) => waits.push(seconds) }
  const key = randomUUID()
  await sendChange(at, { method: 'POST', path: 'tasks/', body: { name: 'Once' }, key })
  mock.restoreAll()
  assert.deepEqual(waits, [7, 7])
  assert.deepEqual(seen.map(({ options }) => options.headers['Idempotency-Key']), [key, key, key])
  const named = (await phone.project.list('tasks')).filter(({ name }) => name === 'Once')
  assert.equal(named.length, 1)
})

test('a refusal is an error with its code, and the phone keeps what it has', async () => {
  const project = await furnished()
  const phone = new Phone('SQLite', project)
  await phone.sync()
  phone.token = tokenFor(newUser())
  await assert.rejects(phone.sync(), { status: 403, code: 'not_a_member' })
  phone.token = tokenFor((await project.addMember(Role.viewer)).user)
  const change = { method: 'POST', path: 'tasks/', body: { name: 'No' }, key: randomUUID() }
  await assert.rejects(sendChange(phone.at, change), { status: 403, code: 'role_too_low' })
  await phone.sync()
  await assertDeviceEqualsServer(phone)
})

test('something that is not this API is an error, and the phone keeps what it has', async () => {
  const phone = new Phone('SQLite', await furnished())
  await phone.sync()
  const mark = await phone.cursor()
  for (const answer of ['<!doctype html>', '{}']) {
    watch(async () => new Response(answer))
    await assert.rejects(phone.sync(), { status: 200 })
    await assert.rejects(sendChange(phone.at, { method: 'POST', path: 'tasks/', body: { name: 'x' }, key: 'k' }), {
      name: 'Error',
      status: 200,
    })
    mock.restoreAll()
  }
  assert.equal(await phone.cursor(), mark)
  await assertDeviceEqualsServer(phone)
})
