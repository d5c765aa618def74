// Turbo: the first sync handed to WatermelonDB's native code as text.
//
// The real loader is C++ on JSI (native/shared/Database-turboSync.cpp) and runs only inside a React Native app: both
// adapters for Node refuse Turbo. So `installTurbo` imitates the loader on SQLite, by the rules of that file. The rest of
// `synchronize({ unsafeTurbo: true })` is WatermelonDB's own. The C++ and its parser are not tested.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { sanitizedRaw } from '@nozbe/watermelondb/RawRecord/index.js'
import { assertDeviceCompleteUpTo, assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { schema } from './schema.mjs'
import { Project } from './server.mjs'

async function projectWithTombstones() {
  const project = await Project.create()
  const [first, second, third] = await project.addTasks(3)
  await project.addDependency(first, second)
  await project.addDependency(second, third)
  await project.addCalendar()
  await project.remove('tasks', third.id)
  return project
}

const deletedIds = ({ changes }) => Object.values(changes).flatMap((change) => change.deleted)

const turboSync = (device, { query = '&turbo=true', ...options } = {}) =>
  device.sync({
    unsafeTurbo: true,
    pullChanges: async (args) => {
      await device.pullChanges(args, query)
      return { syncJson: device.last.text }
    },
    ...options,
  })

/** Gives a SQLite adapter the two methods that it has only under JSI. */
function installTurbo({ database }) {
  const adapter = database.adapter.underlyingAdapter
  const texts = new Map()
  adapter.provideSyncJson = (id, text, callback) => {
    texts.set(id, text)
    callback({})
  }
  adapter.unsafeLoadFromSync = (id, callback) => {
    const { changes, ...rest } = JSON.parse(texts.get(id))
    try {
      const sqls = Object.entries(changes).flatMap(([table, change]) => inserts(table, change))
      adapter.unsafeExecute({ sqls }, ({ error }) => callback(error ? { error } : { value: rest }))
    } catch (error) {
      callback({ error })
    }
  }
}

function inserts(table, { created, updated, deleted, ...others }) {
  if (deleted.length) throw new Error('expected deleted field to be empty')
  if (Object.keys(others).length) throw new Error('bad changeset field')
  return [...created, ...updated].map((row) => {
    const raw = sanitizedRaw({ ...row, _status: 'synced' }, schema.tables[table])
    const names = Object.keys(raw)
    const sql = `insert into "${table}" ("${names.join('", "')}") values (${names.map(() => '?').join(', ')})`
    return [sql, Object.values(raw)]
  })
}

onEachAdapter((adapter) => {
  test('turbo leaves the tombstones out of a first sync, and nothing else', async () => {
    const project = await projectWithTombstones()
    const plain = await new Device(adapter, project).sync()
    const device = new Device(adapter, project)
    const turbo = await device.sync({ query: '&turbo=true' })
    assert.equal(deletedIds(plain).length, 2)
    for (const change of Object.values(plain.changes)) change.deleted = []
    assert.deepEqual(turbo, plain)
    await assertDeviceEqualsServer(device)
  })

  test('turbo means nothing in a delta', async () => {
    const project = await projectWithTombstones()
    const device = new Device(adapter, project)
    await device.sync({ query: '&turbo=true' })
    const [id] = await device.ids('tasks')
    await project.remove('tasks', id)
    assert.ok(deletedIds(await device.sync({ query: '&turbo=true' })).includes(id))
    await assertDeviceEqualsServer(device)
  })

  test('an adapter without JSI refuses Turbo and can sync plainly afterwards', async () => {
    const device = new Device(adapter, await projectWithTombstones())
    await assert.rejects(turboSync(device), /provideSyncJson unavailable/)
    assert.deepEqual(await device.ids('tasks'), [])
    await device.sync()
    await assertDeviceEqualsServer(device)
  })

  if (adapter === 'LokiJS') return // Turbo is for SQLite

  test('a first sync in Turbo mode is followed by plain deltas', async () => {
    const project = await projectWithTombstones()
    const device = new Device(adapter, project)
    installTurbo(device)
    await turboSync(device)
    await assertDeviceEqualsServer(device)

    const [id] = await device.ids('tasks')
    await project.change('tasks', id, { notes: 'after Turbo' })
    await project.addTask()
    await device.sync()
    await project.remove('tasks', id)
    await device.sync()
    await assertDeviceEqualsServer(device)
  })

  test('Turbo refuses a first sync that has tombstones', async () => {
    const device = new Device(adapter, await projectWithTombstones())
    installTurbo(device)
    await assert.rejects(turboSync(device, { query: '' }), /expected deleted field to be empty/)
    assert.deepEqual(await device.ids('tasks'), [])
  })

  test('a first page in Turbo mode tells that there is more, and plain pages bring it', async () => {
    const project = await projectWithTombstones()
    const device = new Device(adapter, project)
    installTurbo(device)
    let rest
    await turboSync(device, { query: '&turbo=true&limit=3', onDidPullChanges: (values) => (rest = values) })
    assert.equal(rest.has_more, true)
    await assertDeviceCompleteUpTo(device, rest.timestamp)
    await device.drain({ query: '&limit=3' })
    await assertDeviceEqualsServer(device)
  })
})
