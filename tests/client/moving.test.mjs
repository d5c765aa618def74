// Devices that come from another backend (infra/docs/migrate.md): they hold its rows and a mark of its making.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { schemaMigrations } from '@nozbe/watermelondb/Schema/migrations/index.js'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { syncProject } from './pages.mjs'
import { appOf, table, tables } from './schema.mjs'
import { baseUrl, operate, Project, stack } from './server.mjs'

/** A device as the other backend left it: a task that is on both, one that it deleted since, and this mark. */
async function deviceOfAnotherBackend(adapter, project, [task], mark) {
  const device = new Device(adapter, project, project.owner, app)
  const old = { ...task, server_version: 3, name: 'As it was' }
  const changes = { tasks: { created: [], updated: [old, { ...old, id: 'gone-since' }], deleted: [] } }
  const pullChanges = async () => ({ changes, timestamp: mark })
  await synchronize({ database: device.database, sendCreatedAsUpdated: true, pullChanges })
  return device
}

/** For each kind of mark, an example and the server's answer to it. */
const marks = {
  'a time in milliseconds': [1_750_000_000_000, /^Error: 409 since_ahead_of_server$/],
  "the highest of its rows' own counters": [3, /^Error: 409 resync_required$/],
}

/** The app as it is for the move: see infra/docs/migrate.md. */
const app = appOf(1, tables.map((name) => table(name)), schemaMigrations({ migrations: [] }))
const sync = ({ database, project, token }) => syncProject({ database, baseUrl, projectId: project.id, token })

onEachAdapter((adapter) => {
  for (const [kind, [mark, refusal]] of Object.entries(marks)) {
    test(`a device whose mark is ${kind} replaces what it holds`, { skip: !stack.endpoint }, async () => {
      const project = await Project.create()
      const tasks = await project.addTasks(5)
      const device = await deviceOfAnotherBackend(adapter, project, tasks, mark)
      assert.equal((await operate('restore', '--project', project.id)).restored_projects, 1)

      await assert.rejects(device.syncChecked(), refusal)
      await sync(device)
      await assertDeviceEqualsServer(device)
      assert.equal(await device.row('tasks', 'gone-since'), undefined)
      await device.sync()
      assert.deepEqual(device.last.body.changes.tasks, { created: [], updated: [], deleted: [] })
    })
  }

  test('without the raise, a small mark passes for one of this backend, and rows are missed', async () => {
    const project = await Project.create()
    const tasks = await project.addTasks(5)
    const device = await deviceOfAnotherBackend(adapter, project, tasks, 3)
    await device.syncChecked()
    assert.ok((await device.ids('tasks')).includes('gone-since'))
    assert.equal((await device.row('tasks', tasks[0].id)).name, 'As it was')
  })

  test('what was created on the device and not sent yet survives the replacement', { skip: !stack.endpoint }, async () => {
    const project = await Project.create()
    const device = await deviceOfAnotherBackend(adapter, project, await project.addTasks(1), 3)
    const draft = await device.database.write(() =>
      device.database.get('tasks').create((task) => Object.assign(task._raw, { name: 'Draft' })),
    )
    await operate('restore', '--project', project.id)
    await sync(device)
    assert.equal((await device.row('tasks', draft.id)).name, 'Draft')
  })
})
