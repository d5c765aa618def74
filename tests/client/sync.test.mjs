// What a device sees of a project: the first sync, deltas, deletions.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { diagnoseSyncConsistency } from '@nozbe/watermelondb/diagnostics/index.js'
import randomId from '@nozbe/watermelondb/utils/common/randomId/index.js'
import { assertDeviceEqualsServer } from './assertions.mjs'
import { Device, onEachAdapter } from './device.mjs'
import { Project, Role } from './server.mjs'

/** Rows in all five collections, and in four of them one that was deleted. */
async function furnishedProject() {
  const project = await Project.create()
  const [first, second, third] = await project.addTasks(3)
  await project.addDependency(first, second)
  await project.addDependency(second, third, { dep_type: 'SS', lag: -2 })
  await project.addCalendar()
  await project.addMember(Role.viewer)

  const cancelled = await project.addTask('Cancelled')
  await project.addDependency(third, cancelled)
  await project.remove('tasks', cancelled.id)
  await project.remove('calendars', (await project.addCalendar('Unused')).id)
  await project.remove('memberships', (await project.addMember()).id)
  return project
}

/** The ids that a pull brought, by collection. Collections without changes are left out. */
function brought({ changes }) {
  const ids = ([table, { updated, deleted }]) => [table, { updated: updated.map((row) => row.id), deleted }]
  return Object.fromEntries(
    Object.entries(changes).map(ids).filter(([, { updated, deleted }]) => updated.length || deleted.length),
  )
}

const updated = (...ids) => ({ updated: ids, deleted: [] })
const deleted = (...ids) => ({ updated: [], deleted: ids })

async function installAndSync(adapter, project, user) {
  const device = new Device(adapter, project, user)
  await device.sync()
  await assertDeviceEqualsServer(device)
  return device
}

onEachAdapter((adapter) => {
  test('a first sync brings every live row of all five collections', async () => {
    const device = await installAndSync(adapter, await furnishedProject())
    const count = async (table) => (await device.ids(table)).length
    assert.equal(await count('projects'), 1)
    assert.equal(await count('tasks'), 3)
    assert.equal(await count('dependencies'), 2)
    assert.equal(await count('calendars'), 1)
    assert.equal(await count('memberships'), 2)
  })

  test('a first sync brings what a project has that nobody has touched yet', async () => {
    const project = await Project.create()
    const device = await installAndSync(adapter, project)
    assert.deepEqual(await device.ids('projects'), [project.id])
    assert.deepEqual(await device.ids('tasks'), [])
  })

  test('an idle pull brings nothing and keeps the cursor', async () => {
    const device = await installAndSync(adapter, await furnishedProject())
    const cursor = await device.cursor()
    assert.deepEqual(brought(await device.sync()), {})
    assert.equal(device.last.since, cursor)
    assert.equal(await device.cursor(), cursor)
  })

  const collections = {
    tasks: {
      add: (project) => project.addTask(),
      patch: { name: 'Renamed', percent_complete: 40, status: 'IN_PROGRESS' },
    },
    dependencies: {
      add: async (project) => project.addDependency(...(await project.addTasks(2))),
      patch: { dep_type: 'FF', lag: 3 },
    },
    calendars: {
      add: (project) => project.addCalendar(),
      patch: { working_days: 15, hours_per_day: 7.5 },
    },
    memberships: {
      add: (project) => project.addMember(),
      patch: { role: Role.scheduler },
    },
  }
  for (const [collection, { add, patch }] of Object.entries(collections)) {
    test(`the deltas of ${collection} bring what is created, changed and deleted, and nothing else`, async () => {
      const project = await furnishedProject()
      const device = await installAndSync(adapter, project)

      const { id } = await add(project)
      assert.deepEqual(brought(await device.sync())[collection], updated(id))
      await assertDeviceEqualsServer(device)

      await project.change(collection, id, patch)
      assert.deepEqual(brought(await device.sync()), { [collection]: updated(id) })
      const row = await device.row(collection, id)
      assert.deepEqual(row, { ...row, ...patch })
      await assertDeviceEqualsServer(device)

      await project.remove(collection, id)
      assert.deepEqual(brought(await device.sync()), { [collection]: deleted(id) })
      assert.equal(await device.row(collection, id), undefined)
      await assertDeviceEqualsServer(device)
    })
  }

  test('the deltas of projects bring changed settings', async () => {
    const project = await furnishedProject()
    const { id: calendar } = await project.addCalendar('Six days', { working_days: 63 })
    const device = await installAndSync(adapter, project)
    const patch = { name: 'Tunnel', description: 'Longer, darker', start_date: '2026-01-05', calendar }
    for (const change of [patch, { calendar: null, description: '' }]) {
      await project.change('projects', project.id, change)
      assert.deepEqual(brought(await device.sync()), { projects: updated(project.id) })
      const row = await device.row('projects', project.id)
      assert.deepEqual(row, { ...row, ...change })
      await assertDeviceEqualsServer(device)
    }
  })

  test('every column of a task is set and set back', async () => {
    const project = await Project.create()
    const { id } = await project.addTask('Plain')
    const device = await installAndSync(adapter, project)
    const before = await device.row('tasks', id)
    const columns = {
      name: 'Sheet "A" \\ \u2028 naïve 🍉',
      wbs_path: '1.2.3',
      duration: 0,
      is_milestone: true,
      percent_complete: 100,
      notes: "line one\nline two\t'; drop table tasks; --",
      planned_start: '2025-04-01',
      status: 'COMPLETE',
      assignee: project.owner,
      optimistic_duration: 0,
      most_likely_duration: 2,
      pessimistic_duration: 36525,
    }
    const back = Object.fromEntries(Object.keys(columns).map((name) => [name, before[name]]))
    for (const patch of [columns, back]) {
      await project.change('tasks', id, patch)
      await device.sync()
      const row = await device.row('tasks', id)
      assert.deepEqual(row, { ...row, ...patch })
      await assertDeviceEqualsServer(device)
    }
  })

  test("a calendar's exceptions arrive as JSON text", async () => {
    const project = await Project.create()
    const exceptions = [
      { start: '2025-12-24', end: '2026-01-02', description: 'Works "holiday" 🎄' },
      { start: '2025-08-01', end: '2025-08-01', description: '' },
    ]
    const { id } = await project.addCalendar('With holidays', { exceptions })
    const device = await installAndSync(adapter, project)
    assert.deepEqual(JSON.parse((await device.row('calendars', id)).exceptions), exceptions)
  })

  test('a row keeps the id that its maker gave it', async () => {
    const project = await Project.create()
    const device = await installAndSync(adapter, project)
    const ids = ['0190a6b2-1c3d-7e4f-8a5b-6c7d8e9f0a1b', randomId.default()]
    for (const id of ids) await project.addTask('Made offline', { id })
    await device.sync()
    assert.deepEqual(await device.ids('tasks'), ids.toSorted())
    await assertDeviceEqualsServer(device)
  })

  test('a cold row is delivered after a hundred edits to another', async () => {
    const project = await Project.create()
    const [busy, cold] = await project.addTasks(2)
    const device = await installAndSync(adapter, project)
    for (let edit = 1; edit <= 100; edit++) await project.change('tasks', busy.id, { notes: `edit ${edit}` })
    await device.sync()
    await project.change('tasks', cold.id, { name: 'Not forgotten' })
    assert.deepEqual(brought(await device.sync()), { tasks: updated(cold.id) })
    await assertDeviceEqualsServer(device)
  })

  test('a deleted task takes its dependencies off the device, on either side of it', async () => {
    const project = await Project.create()
    const [before, doomed, after] = await project.addTasks(3)
    const into = await project.addDependency(before, doomed)
    const outOf = await project.addDependency(doomed, after)
    const past = await project.addDependency(before, after)
    const device = await installAndSync(adapter, project)

    await project.remove('tasks', doomed.id)
    const { tasks, dependencies, ...others } = brought(await device.sync())
    assert.deepEqual(tasks, deleted(doomed.id))
    assert.deepEqual(dependencies.deleted.toSorted(), [into.id, outOf.id].toSorted())
    assert.deepEqual(others, {})
    assert.deepEqual(await device.ids('dependencies'), [past.id])
    await assertDeviceEqualsServer(device)
  })

  test('a tombstone of a row that the device never had is harmless', async () => {
    const project = await Project.create()
    const device = await installAndSync(adapter, project)
    const { id } = await project.addTask('Brief')
    await project.remove('tasks', id)
    assert.deepEqual(brought(await device.sync()), { tasks: deleted(id) })
    await assertDeviceEqualsServer(device)
  })

  test('a device that lost its cursor forgets what was deleted meanwhile', async () => {
    const project = await furnishedProject()
    const [kept, doomed] = await project.addTasks(2)
    const edge = await project.addDependency(kept, doomed)
    const device = await installAndSync(adapter, project)

    await project.remove('tasks', doomed.id)
    await device.loseCursor()
    await device.sync()
    assert.equal(device.last.since, 0)
    assert.equal(await device.row('tasks', doomed.id), undefined)
    assert.equal(await device.row('dependencies', edge.id), undefined)
    await assertDeviceEqualsServer(device)
  })

  test('a device that follows every change equals the server after each', async () => {
    const project = await Project.create()
    const device = await installAndSync(adapter, project)
    const rows = []
    const remember = async (row) => rows.push(await row)
    const story = [
      () => remember(project.addTask('Dig')),
      () => remember(project.addTask('Pour')),
      () => remember(project.addDependency(rows[0], rows[1])),
      () => remember(project.addCalendar()),
      () => project.change('projects', project.id, { calendar: rows[3].id }),
      () => remember(project.addMember()),
      () => project.change('tasks', rows[0].id, { assignee: rows[4].user }),
      () => project.remove('memberships', rows[4].id),
      () => project.change('tasks', rows[0].id, { assignee: null }),
      () => project.remove('dependencies', rows[2].id),
      () => remember(project.addDependency(rows[1], rows[0])),
      () => project.change('projects', project.id, { calendar: null }),
      () => project.remove('calendars', rows[3].id),
      () => project.remove('tasks', rows[0].id),
      () => project.addMember(Role.viewer, rows[4].user),
      () => project.remove('tasks', rows[1].id),
    ]
    for (const change of story) {
      await change()
      await device.sync()
      await assertDeviceEqualsServer(device)
    }
    assert.deepEqual(await device.ids('tasks'), [])
    assert.deepEqual(await device.ids('dependencies'), [])
    assert.deepEqual(await device.ids('calendars'), [])
    assert.equal((await device.ids('memberships')).length, 2)
  })

  test('two devices of two members, one always on and one long away, end up the same', async () => {
    const project = await furnishedProject()
    const { user } = await project.addMember(Role.viewer)
    const present = await installAndSync(adapter, project)
    const away = await installAndSync(adapter, project, user)

    const [first, second] = await project.addTasks(2)
    await present.sync()
    await project.addDependency(first, second)
    await present.sync()
    await project.change('tasks', second.id, { notes: 'changed twice' })
    await project.remove('tasks', first.id)
    await present.sync()

    await away.sync()
    await assertDeviceEqualsServer(present)
    await assertDeviceEqualsServer(away)
    assert.equal(await away.cursor(), await present.cursor())
  })

  test('a device that pulls while others write misses nothing', async () => {
    const project = await furnishedProject()
    const device = await installAndSync(adapter, project)
    let writing = true
    const write = async (name) => {
      for (const task of await project.addTasks(8)) {
        await project.change('tasks', task.id, { name })
        const next = await project.addTask(name)
        await project.addDependency(task, next)
        await project.remove('tasks', next.id)
      }
    }
    const writers = Promise.all(['one', 'two', 'three'].map(write)).finally(() => (writing = false))
    while (writing) await device.sync()
    await writers
    await device.sync()
    await assertDeviceEqualsServer(device)
  })

  test('two projects live in two databases, each with its own cursor', async () => {
    const [bridge, tunnel] = [await furnishedProject(), await Project.create({ name: 'Tunnel' })]
    await tunnel.addMember(Role.viewer, bridge.owner)
    const onBridge = await installAndSync(adapter, bridge)
    const inTunnel = await installAndSync(adapter, tunnel, bridge.owner)
    const { id } = await tunnel.addTask('Drill')
    assert.deepEqual(brought(await onBridge.sync()), {})
    assert.deepEqual(brought(await inTunnel.sync()), { tasks: updated(id) })
    assert.notEqual(await onBridge.cursor(), await inTunnel.cursor())
    await assertDeviceEqualsServer(onBridge)
    await assertDeviceEqualsServer(inTunnel)
  })

  test("WatermelonDB's own diagnosis finds the device consistent, and notices when it is not", async () => {
    const project = await furnishedProject()
    const device = await installAndSync(adapter, project)
    const [task, other] = await project.addTasks(2)
    await project.addDependency(task, other)
    await project.remove('tasks', other.id)

    const diagnose = (pullChanges) =>
      diagnoseSyncConsistency({ db: device.database, synchronize: () => device.sync(), pullChanges })
    const pull = async (args) => (await device.pullChanges(args)).changes
    const pullWithoutTask = async (args) => {
      const changes = await pull(args)
      changes.tasks.updated = changes.tasks.updated.filter((row) => row.id !== task.id)
      return changes
    }
    const { issueCount, log } = await diagnose(pull)
    assert.equal(issueCount, 0, log)
    assert.equal((await diagnose(pullWithoutTask)).issueCount, 1)
  })
})
