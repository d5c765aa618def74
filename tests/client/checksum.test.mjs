// A device that checks itself, with the code of the pages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertDeviceEqualsServer, checksumOf } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { checksum } from './pages.mjs'
import { tables } from './schema.mjs'
import { Project } from './server.mjs'

async function furnishedProject() {
  const project = await Project.create()
  const [first, second, third, fourth] = await project.addTasks(4)
  await project.addDependency(first, second)
  await project.addDependency(second, third)
  await project.addCalendar()
  await project.addMember()
  await project.change('tasks', first.id, { name: 'Changed' })
  await project.remove('tasks', fourth.id)
  return project
}

/** What the server says of the rows that REST lists. */
async function checksumOfRest(project) {
  const sums = async (table) => [table, checksum(await project.list(table))]
  return Object.fromEntries(await Promise.all(tables.map(sums)))
}

/** Changes arrive that the server never sent. The device's rows look synced, and its cursor stays. */
async function damage(device, changes) {
  const timestamp = await device.cursor()
  await device.sync({ pullChanges: () => ({ changes, timestamp }) })
  assert.equal(await device.cursor(), timestamp)
}

const change = ({ updated = [], deleted = [] }) => ({ created: [], updated, deleted })

/** The tables in which the device differs from what a pull just said. */
async function differing(device) {
  const [here, there] = [await checksumOf(device), device.last.body.checksum]
  assert.deepEqual(Object.keys(there), tables)
  return tables.filter((table) => String(here[table]) !== String(there[table]))
}

onEachAdapter((adapter) => {
  test('the checksum of each pull is that of the device, and of what REST lists', async () => {
    const project = await furnishedProject()
    const device = new Device(adapter, project)
    const writes = [
      () => project.addTask('Another'),
      async () => project.remove('tasks', (await device.ids('tasks'))[0]),
      () => project.change('projects', project.id, { name: 'Tunnel' }),
      async () => project.remove('calendars', (await device.ids('calendars'))[0]),
      () => {},
    ]
    for (const write of writes) {
      await device.sync()
      assert.deepEqual(device.last.body.checksum, await checksumOf(device))
      assert.deepEqual(device.last.body.checksum, await checksumOfRest(project))
      await write()
    }
  })

  test('pages have no checksum, and the last one has that of the whole device', async () => {
    const device = new Device(adapter, await furnishedProject())
    const pages = await device.drain({ query: '&limit=3' })
    assert.ok(pages.length > 2)
    assert.deepEqual(pages.map(({ checksum }) => checksum !== undefined).indexOf(true), pages.length - 1)
    assert.deepEqual(pages.at(-1).checksum, await checksumOf(device))
  })

  const damages = {
    'a row that is missing': (rows) => ({ deleted: [rows[0].id] }),
    'a row that is one too many': (rows) => ({ updated: [{ ...rows[0], id: 'ghost' }] }),
    'a row that is old': (rows) => ({ updated: [{ ...rows[0], name: 'Old', server_version: 3 }] }),
    'two rows that have each other’s version': ([one, other]) => ({
      updated: [
        { ...one, server_version: other.server_version },
        { ...other, server_version: one.server_version },
      ],
    }),
  }
  for (const [name, damaged] of Object.entries(damages)) {
    test(`${name} is noticed, and repaired by a replacement`, async () => {
      const project = await furnishedProject()
      const device = new Device(adapter, project)
      await device.sync()
      assert.deepEqual(await differing(device), [])
      const rows = await project.list('tasks')
      await damage(device, { tasks: change(damaged(rows)) })

      await device.sync()
      assert.deepEqual(await differing(device), ['tasks'], 'an ordinary pull repairs nothing')
      await device.sync({
        pullChanges: async () => ({ ...(await device.pullChanges({})), experimentalStrategy: 'replacement' }),
      })
      assert.deepEqual(await differing(device), [])
      await assertDeviceEqualsServer(device)
    })
  }
})
