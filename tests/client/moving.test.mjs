// Devices that come from another backend (infra/MOVING.md): they hold its rows and a mark of its making.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { pullOrReplace } from './readme.mjs'
import { operate, Project, stack } from './server.mjs'

/** A device as the other backend left it: a task that is on both, one that it deleted since, and this mark. */
async function deviceOfAnotherBackend(adapter, project, [task], mark) {
  const device = new Device(adapter, project)
  const old = { ...task, server_version: 3, name: 'As it was' }
  const changes = { tasks: { created: [], updated: [old, { ...old, id: 'gone-since' }], deleted: [] } }
  const pullChanges = async () => ({ changes, timestamp: mark })
  await synchronize({ database: device.database, sendCreatedAsUpdated: true, pullChanges })
  return device
}

/** `pullChanges` of the guide. */
const replacing = (device) => (args) =>
  pullOrReplace(async (since) => {
    await device.pullChanges({ ...args, lastPulledAt: since })
    const { ok, status, body } = device.last
    return { ok, status, json: async () => body, clone: () => ({ json: async () => body }) }
  }, args.lastPulledAt)

/** By kind: a mark, what the server says to it, and what WatermelonDB logs of the mark that replaces it. */
const marks = {
  'a time in milliseconds': [1_750_000_000_000, /^Error: 409 since_ahead_of_server$/, /previous pulled-at time was greater/],
  "the highest of its rows' own counters": [3, /^Error: 409 resync_required$/, /^$/],
}

onEachAdapter((adapter) => {
  for (const [kind, [mark, refusal, complaint]] of Object.entries(marks)) {
    test(`a device whose mark is ${kind} replaces what it holds`, { skip: !stack.endpoint }, async () => {
      const project = await Project.create()
      const tasks = await project.addTasks(5)
      const device = await deviceOfAnotherBackend(adapter, project, tasks, mark)
      assert.equal((await operate('restore', '--project', project.id)).restored_projects, 1)

      await assert.rejects(device.syncChecked(), refusal)
      await device.sync({ pullChanges: replacing(device), complaint })
      await assertDeviceEqualsServer(device)
      assert.equal(await device.row('tasks', 'gone-since'), undefined)
      await device.sync({ pullChanges: replacing(device) })
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
    await device.sync({ pullChanges: replacing(device) })
    assert.equal((await device.row('tasks', draft.id)).name, 'Draft')
  })
})
