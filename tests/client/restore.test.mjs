// The server is restored from a backup that is older than what the device holds.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { dynamodb, operate, Project, stack } from './server.mjs'

const itemsOf = async (project) => {
  const { Items, LastEvaluatedKey } = await dynamodb('Query', {
    ConsistentRead: true,
    KeyConditionExpression: 'project_id = :project',
    ExpressionAttributeValues: { ':project': { S: project.id } },
  })
  assert.equal(LastEvaluatedKey, undefined)
  return Items
}

async function putBack(project, backup) {
  for (const { project_id, entity } of await itemsOf(project)) {
    await dynamodb('DeleteItem', { Key: { project_id, entity } })
  }
  for (const Item of backup) await dynamodb('PutItem', { Item })
}

onEachAdapter((adapter) => {
  test('a device from before the restore is told so, and replaces what it holds', { skip: !stack.endpoint }, async () => {
    const project = await Project.create()
    const [kept, changed, deleted] = await project.addTasks(3)
    await project.addDependency(kept, deleted)
    const backup = await itemsOf(project)
    const lost = await project.addTask('Lost')
    await project.addDependency(changed, lost)
    await project.change('tasks', changed.id, { name: 'Changed, and lost' })
    await project.remove('tasks', deleted.id)
    const device = new Device(adapter, project)
    await device.sync()
    assert.ok(await device.row('tasks', lost.id))

    await putBack(project, backup)
    const report = await operate('restore', '--project', project.id)
    assert.equal(report.restored_projects, 1)
    assert.equal((await operate('verify', '--project', project.id)).verdict, 'sound')

    await assert.rejects(device.syncChecked(), /^Error: 409 resync_required$/)
    await device.sync({
      pullChanges: async (args) => {
        const answer = await device.pullChanges(args)
        assert.equal(device.last.body.code, 'resync_required')
        assert.equal(answer.timestamp, undefined)
        return { ...(await device.pullChanges({ lastPulledAt: 0 })), experimentalStrategy: 'replacement' }
      },
    })
    assert.deepEqual(await device.ids('tasks'), [kept.id, changed.id, deleted.id].sort())
    assert.equal((await device.row('tasks', changed.id)).name, changed.name)
    await assertDeviceEqualsServer(device)

    await project.addTask('After the restore')
    await device.sync()
    await assertDeviceEqualsServer(device)
  })
})
