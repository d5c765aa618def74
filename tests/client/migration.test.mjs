// An update of the app that adds columns and a table that the server already had.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addColumns, createTable, schemaMigrations } from '@nozbe/watermelondb/Schema/migrations/index.js'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { appOf, table, tables } from './schema.mjs'
import { Project } from './server.mjs'

const added = ['notes', 'assignee', 'percent_complete']
const known = table('tasks').columns.map(({ name }) => name)
const tasksBefore = known.filter((column) => !added.includes(column))

/** The app before: no calendars, and three columns less in tasks. */
const before = appOf(
  1,
  tables.filter((name) => name !== 'calendars').map((name) => table(name, name === 'tasks' ? tasksBefore : undefined)),
)
const step = { toVersion: 2, steps: [createTable(table('calendars')), addColumns({ ...table('tasks', added), table: 'tasks' })] }
const after = appOf(
  2,
  tables.map((name) => table(name)),
  schemaMigrations({ migrations: [step] }),
)

const unknownTable = /calendars.*does not exist/
const migrating = { migrationsEnabledAtVersion: 1 }

/** A device of the app before, synced, and a project that nobody touches afterwards. */
async function deviceBefore(adapter) {
  const project = await Project.create()
  for (const task of await project.addTasks(6)) {
    await project.change('tasks', task.id, { notes: `Notes of ${task.name}`, assignee: project.owner, percent_complete: 7 })
  }
  await project.addCalendar()
  await project.remove('tasks', (await project.addTask('Gone')).id)
  const device = new Device(adapter, project, project.owner, before)
  await device.sync({ complaint: unknownTable })
  return device
}

onEachAdapter((adapter) => {
  test('a migration sync fills new columns and tables, once', async () => {
    const device = await deviceBefore(adapter)
    const cursor = await device.cursor()
    await device.update(after)
    await device.sync(migrating)
    assert.equal(device.last.since, cursor)
    await assertDeviceEqualsServer(device)
    const { changes } = await device.sync(migrating)
    assert.ok(Object.values(changes).every(({ updated }) => updated.length === 0))
  })

  test('without a migration sync they stay empty', async () => {
    const device = await deviceBefore(adapter)
    await device.update(after)
    await device.sync()
    const notes = [...(await device.rows('tasks')).values()].map((task) => task.notes)
    assert.deepEqual(notes, ['', '', '', '', '', ''])
    assert.deepEqual(await device.ids('calendars'), [])
  })

  test('a migration sync in pages begins below the mark, and ordinary pages bring the rest', async () => {
    const device = await deviceBefore(adapter)
    const cursor = await device.cursor()
    await device.update(after)
    const query = '&limit=4'
    const first = await device.sync({ ...migrating, query, complaint: /previous pulled-at time was greater/ })
    assert.ok(first.has_more && first.timestamp < cursor)
    await device.drain({ query })
    await assertDeviceEqualsServer(device)
  })

  test('a migration of tables and columns of the app alone is an ordinary pull', async () => {
    const device = await deviceBefore(adapter)
    await device.update(after)
    await device.sync(migrating)
    const drafts = { name: 'drafts', columns: [{ name: 'text', type: 'string' }] }
    const colour = { table: 'tasks', columns: [{ name: 'colour', type: 'string' }] }
    const steps = [createTable(drafts), addColumns(colour)]
    const own = tables.map((name) => table(name))
    own.find(({ name }) => name === 'tasks').columns.push(...colour.columns)
    const migrations = schemaMigrations({ migrations: [{ toVersion: 3, steps }, step] })
    await device.update(appOf(3, [...own, drafts], migrations))
    const { changes } = await device.sync(migrating)
    assert.ok(Object.values(changes).every(({ updated }) => updated.length === 0))
  })
})
