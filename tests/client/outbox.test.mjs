// Changes that an app collected while it was offline and sends together.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import randomId from '@nozbe/watermelondb/utils/common/randomId/index.js'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { Project, Role, newUser } from './server.mjs'

onEachAdapter((adapter) => {
  test('an outbox collected offline is sent as a batch, and a second device pulls it', async () => {
    const project = await Project.create()
    const [dig, pour, paint] = await project.addTasks(3)
    const edge = await project.addDependency(dig, pour)
    const user = newUser()
    await project.addMember(Role.scheduler, user)
    const offline = new Device(adapter, project, user)
    const other = new Device(adapter, project)
    await offline.sync()
    await other.sync()

    // Offline: the ids are the device's own, the versions those that it holds.
    const base = (await offline.row('tasks', pour.id)).server_version
    const [scaffold, before] = [randomId.default(), randomId.default()]
    const outbox = [
      { method: 'POST', path: 'tasks/', body: { id: scaffold, name: 'Scaffold', duration: 2 } },
      { method: 'POST', path: 'dependencies/', body: { id: before, predecessor: scaffold, successor: pour.id } },
      { method: 'PATCH', path: `tasks/${pour.id}/`, if_match: base, body: { percent_complete: 30 } },
      { method: 'PATCH', path: `tasks/${pour.id}/`, if_match: base, body: { status: 'IN_PROGRESS' } },
      { method: 'PATCH', path: `tasks/${scaffold}/`, body: { name: 'Scaffolding' } },
      { method: 'DELETE', path: `tasks/${dig.id}/` },
    ]
    await project.change('tasks', paint.id, { name: 'Painted by someone else meanwhile' })

    const { results } = await project.batch(user, outbox)
    assert.deepEqual(
      results.map(({ status, id }) => [status, id]),
      [201, 201, 200, 200, 200, 204].map((status, n) => [status, [scaffold, before, pour.id, pour.id, scaffold, dig.id][n]]),
    )
    for (const device of [other, offline]) {
      const { changes } = await device.sync()
      assert.deepEqual(changes.tasks.deleted, [dig.id])
      assert.deepEqual(changes.dependencies.deleted, [edge.id])
      await assertDeviceEqualsServer(device)
      for (const { id, server_version } of results.slice(0, 5)) {
        const table = id === before ? 'dependencies' : 'tasks'
        assert.equal((await device.row(table, id)).server_version, server_version)
      }
      const row = await device.row('tasks', pour.id)
      assert.deepEqual([row.percent_complete, row.status], [30, 'IN_PROGRESS'])
      assert.equal((await device.row('tasks', scaffold)).name, 'Scaffolding')
    }
  })
})
