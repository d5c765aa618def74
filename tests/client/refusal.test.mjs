// Devices that the server refuses, or tells once to forget their rows.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter, Refused } from './device.mjs'
import { tables } from './schema.mjs'
import { newUser, Project, Role, tokenFor } from './server.mjs'

const snapshot = async (device) => [await device.cursor(), await Promise.all(tables.map((table) => device.rows(table)))]

async function furnishedProject() {
  const project = await Project.create()
  const [first, second, third] = await project.addTasks(3)
  await project.addDependency(first, second)
  await project.addDependency(second, third)
  await project.addCalendar()
  return project
}

async function assertEmpty(device) {
  for (const table of tables) assert.deepEqual(await device.ids(table), [], table)
}

/** The plain client fails on the missing timestamp; the one that looks at `res.ok` learns why. */
async function assertRefused(device, refusal) {
  const before = await snapshot(device)
  await assert.rejects(device.sync(), /pullChanges\(\) returned invalid timestamp undefined/)
  assert.deepEqual(await snapshot(device), before)
  await assert.rejects(device.syncChecked(), (error) => error instanceof Refused && refusal.test(error.message))
  assert.deepEqual(await snapshot(device), before)
}

onEachAdapter((adapter) => {
  const syncedDevice = async (project, user) => {
    const device = new Device(adapter, project, user)
    await device.sync()
    return device
  }

  test('a cursor ahead of the server is refused, and the app that starts over is whole again', async () => {
    const [long, short] = [await Project.create(), await Project.create()]
    await long.addTasks(5)
    const device = await syncedDevice(long)
    await short.addMember(Role.viewer, long.owner)
    device.project = short
    await assertRefused(device, /^409 since_ahead_of_server$/)

    await device.database.write(() => device.database.unsafeResetDatabase())
    await device.sync()
    await assertDeviceEqualsServer(device)
  })

  test('a stranger is refused', async () => {
    const device = await syncedDevice(await Project.create())
    device.token = tokenFor(newUser())
    await assertRefused(device, /^403 not_a_member$/)
  })

  test('a project that does not exist is refused', async () => {
    const device = await syncedDevice(await Project.create())
    device.project = new Project('no-such-project')
    await assertRefused(device, /^403 not_a_member$/)
  })

  test('an expired token is refused', async () => {
    const project = await Project.create()
    const device = await syncedDevice(project)
    device.token = tokenFor(project.owner, Math.floor(Date.now() / 1000) - 3600)
    await assertRefused(device, /^401 token_expired$/)
  })

  test('a device of a deleted project is emptied', async () => {
    const project = await furnishedProject()
    const device = await syncedDevice(project)
    await project.remove('projects')
    await device.sync()
    await assertEmpty(device)
    await device.sync()
    await assertEmpty(device)
  })

  test('a device of a removed member is emptied once, and refused from then on', async () => {
    const project = await furnishedProject()
    const { id, user } = await project.addMember()
    const device = await syncedDevice(project, user)
    await project.remove('memberships', id)
    await device.sync()
    await assertEmpty(device)
    await assertRefused(device, /^403 membership_revoked$/)
    await project.addTask()
    await assertRefused(device, /^403 membership_revoked$/)
  })

  test('an emptied device of a member who is added again gets everything back', async () => {
    const project = await furnishedProject()
    const { id, user } = await project.addMember()
    const device = await syncedDevice(project, user)
    await project.remove('memberships', id)
    await device.sync()
    await project.addTask('While away')
    await project.addMember(Role.viewer, user)
    await device.sync()
    assert.equal((await device.row('memberships', id)).role, Role.viewer)
    await assertDeviceEqualsServer(device)
  })

  test('an emptied device gets everything back in pages, of which the first goes back', async () => {
    const project = await furnishedProject()
    const { id, user } = await project.addMember()
    const device = await syncedDevice(project, user)
    await project.remove('memberships', id)
    const { timestamp } = await device.sync()
    await project.addMember(Role.viewer, user)
    const first = await device.sync({ query: '&limit=3', complaint: /previous pulled-at time was greater/ })
    assert.ok(first.timestamp < timestamp)
    await device.drain({ query: '&limit=3' })
    await assertDeviceEqualsServer(device)
  })

  test('a device that slept through its removal and return gets an ordinary delta', async () => {
    const project = await furnishedProject()
    const { id, user } = await project.addMember()
    const device = await syncedDevice(project, user)
    await project.remove('memberships', id)
    const [doomed] = await device.ids('tasks')
    await project.remove('tasks', doomed)
    await project.addMember(Role.viewer, user)
    await device.sync()
    assert.equal(await device.row('tasks', doomed), undefined)
    await assertDeviceEqualsServer(device)
  })
})
