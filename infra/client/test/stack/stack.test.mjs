// The package and the real server: what the mock says of it is so, and edits survive lost requests and killed apps.
// TRUEPPM_BIN=… npm run stack; STACK_WORLDS and STACK_SEED play others.

import '../fuzz/events.mjs'
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { newDatabase, Phone, schema, createSync, withBaseVersion } from '../phone.mjs'
import { complaints, Device } from '../fuzz/device.mjs'
import { Events } from '../fuzz/events.mjs'
import { Random } from '../fuzz/random.mjs'
import { appsOf } from '../fuzz/schemas.mjs'
import { response } from '../mock/http.mjs'
import { exchange, startStack, tokenFor, WebProject } from './server.mjs'

const { url, stop } = await startStack()
after(stop)
const hasEach = await (await WebProject.create(url)).hasBatchesOfModeEach()
const define = hasEach ? test : (name) => test(name, { skip: 'this server has no batches of mode "each"' }, () => {})

/** A phone of a new member of a new project with a task `t`. */
async function phoneOfMember(role = 300) {
  const project = await WebProject.create(url)
  const user = `ann-${randomUUID()}`
  await project.join(user, role)
  await project.send('POST', 'tasks/', { id: 't', name: 'Dig', duration: 3 })
  const phone = new Phone({ database: newDatabase('SQLite') , projects: [project.id], options: {
    baseUrl: url,
    token: () => tokenFor(user),
    fetch: async (address, init) => {
      phone.sent.push({ url: address, ...init })
      const plain = async () => response(await exchange(address, init))
      return phone.meanwhile ? phone.meanwhile({ url: address, ...init }, plain) : plain()
    },
  } })
  Object.assign(phone, { project, member: user, add: (table, fields) => Phone.prototype.add.call(phone, table, { project: project.id, ...fields }) })
  await synced(phone)
  return phone
}

async function synced(phone, pending = 0) {
  const status = await phone.sync.now()
  assert.deepEqual([status.state, status.pending, status.problem], ['synced', pending, null])
}
const task = (phone, id = 't') => phone.project.get(`tasks/${id}/`)

define('what is created, changed and deleted on the device is so on the server, in its form', async () => {
  const phone = await phoneOfMember()
  await phone.add('tasks', { id: 'new', name: 'New', duration: 0, is_milestone: true })
  await phone.add('dependencies', { id: 'edge', predecessor: 't', successor: 'new' })
  await phone.add('calendars', { id: 'site', name: 'Site', hours_per_day: 7.5, timezone: 'Europe/Zurich', exceptions: '[{"start": "2026-05-01", "end": "2026-05-01"}]' })
  await phone.edit('tasks', 't', { percent_complete: 50 })
  await synced(phone)
  assert.equal((await phone.row('calendars', 'site')).exceptions, '[{"description":"","end":"2026-05-01","start":"2026-05-01"}]')
  await phone.delete('dependencies', 'edge')
  await phone.delete('tasks', 'new')
  await phone.edit('calendars', 'site', { exceptions: '[{"end": "2026-05-01","start":"2026-05-01"}]' })
  await synced(phone)
  assert.equal((await task(phone)).percent_complete, 50)
  assert.deepEqual(Object.keys((await phone.project.whole()).rows).filter((key) => /^(tasks|dep)/.test(key)), ['tasks/t'])
  const sent = phone.batches().length
  await synced(phone)
  assert.equal(phone.batches().length, sent)
})

for (const [choice, expected] of [['mine', 'Mine'], ['theirs', 'Theirs'], [{ value: 'Both' }, 'Both']]) {
  define(`a conflict is asked about by field, and settled with ${JSON.stringify(choice)}`, async () => {
    const phone = await phoneOfMember()
    await phone.edit('tasks', 't', { name: 'Mine', notes: 'Mine alone' })
    await phone.project.send('PATCH', 'tasks/t/', { name: 'Theirs' })
    await synced(phone, 1)
    const [conflict] = phone.sync.conflicts$.value
    assert.deepEqual([conflict.field, conflict.mine, conflict.theirs], ['name', 'Mine', 'Theirs'])
    assert.equal((await task(phone)).notes, 'Mine alone')
    await phone.sync.resolve(conflict, choice)
    await synced(phone)
    assert.equal((await task(phone)).name, expected)
    assert.equal((await phone.row('tasks', 't')).name, expected)
  })
}

define('a deletion of what somebody changed is asked about; a calendar shows its exceptions as the device has them', async () => {
  const phone = await phoneOfMember()
  await phone.add('calendars', { id: 'site', name: 'Site' })
  await synced(phone)
  await phone.delete('calendars', 'site')
  await phone.project.send('PATCH', 'calendars/site/', { exceptions: [{ start: '2026-05-01', end: '2026-05-02' }] })
  await synced(phone, 1)
  const [conflict] = phone.sync.conflicts$.value
  assert.deepEqual(conflict.theirs, { exceptions: '[{"description":"","end":"2026-05-02","start":"2026-05-01"}]' })
  await phone.sync.resolve(conflict, 'theirs')
  await synced(phone)
  assert.equal((await phone.row('calendars', 'site')).exceptions, conflict.theirs.exceptions)
})

define('a milestone does not overwrite a duration that nobody saw', async () => {
  const phone = await phoneOfMember()
  await phone.edit('tasks', 't', { is_milestone: true })
  await phone.project.send('PATCH', 'tasks/t/', { duration: 7 })
  await synced(phone, 1)
  assert.equal((await task(phone)).duration, 7)
  assert.equal(phone.sync.conflicts$.value[0].field, 'duration')
})

define('a refused edit leaves no trace and stops no other; a role that is given later lets it through', async () => {
  const phone = await phoneOfMember(100)
  await phone.add('calendars', { id: 'site', name: 'Site' })
  await phone.edit('tasks', 't', { percent_complete: 50 })
  await synced(phone, 1)
  assert.equal(phone.sync.rejected$.value[0].problem.code, 'role_too_low')
  assert.equal((await task(phone)).percent_complete, 50)
  const { results } = await phone.project.get('memberships/')
  await phone.project.send('PATCH', `memberships/${results.find(({ user }) => user === phone.member).id}/`, { role: 300 })
  await synced(phone)
  assert.equal((await phone.project.get('calendars/site/')).name, 'Site')
})

define('an answer that is lost is asked for again, and a late duplicate of a refused batch is not done later', async () => {
  const phone = await phoneOfMember(100)
  let late
  await phone.add('calendars', { id: 'site', name: 'Site' })
  phone.meanwhile = async (request, plain) => {
    if (!request.url.endsWith('/batch/')) return plain()
    late = request
    await plain()
    throw new Error('lost on the way back')
  }
  assert.equal((await phone.sync.now()).state, 'offline')
  phone.meanwhile = null
  await synced(phone, 1)
  await phone.sync.discard(phone.sync.rejected$.value[0])
  const { results } = await phone.project.get('memberships/')
  await phone.project.send('PATCH', `memberships/${results.find(({ user }) => user === phone.member).id}/`, { role: 300 })
  const { status, headers } = await exchange(late.url, late)
  assert.deepEqual([status, headers['idempotent-replay']], [200, 'true'])
  assert.deepEqual((await phone.project.get('calendars/')).results, [])
})

define('a task with more dependencies than a batch deletes is deleted all the same', async () => {
  const phone = await phoneOfMember()
  const operations = (make) => ({ operations: [...Array(98).keys()].map(make) })
  const edge = (n) => ({ method: 'POST', path: 'dependencies/', body: { id: `e${n}`, predecessor: 't', successor: `n${n}` } })
  await phone.project.send('POST', 'batch/', operations((n) => ({ method: 'POST', path: 'tasks/', body: { id: `n${n}`, name: 'N' } })))
  await phone.project.send('POST', 'batch/', operations(edge))
  await synced(phone)
  await phone.delete('tasks', 't')
  await synced(phone)
  assert.ok(!('tasks/t' in (await phone.project.whole()).rows))
})

define('more edits than a batch takes arrive, with settings and roles by requests of their own', async () => {
  const phone = await phoneOfMember()
  for (let n = 0; n < 250; n += 1) await phone.add('tasks', { id: `n${n}`, name: `Task ${n}` })
  await phone.edit('projects', phone.project.id, { description: 'By the lake' })
  await synced(phone)
  assert.equal(Object.keys((await phone.project.whole()).rows).filter((key) => key.startsWith('tasks/')).length, 251)
  assert.equal((await phone.project.get('')).description, 'By the lake')
})

define('who is removed keeps only unsent edits, and who is added again has everything', async () => {
  const phone = await phoneOfMember()
  await phone.edit('tasks', 't', { notes: 'Unsent' })
  await phone.project.leave(phone.member)
  assert.equal((await phone.sync.now()).projects[phone.project.id].state, 'gone')
  assert.equal(await phone.row('tasks', 't'), undefined)
  assert.deepEqual(phone.sync.aside$.value.map(({ values, reason }) => [values, reason]), [[{ notes: 'Unsent' }, 'membership_revoked']])
  await phone.project.join(phone.member, 300)
  await synced(phone)
  await phone.sync.restoreAside(phone.sync.aside$.value[0])
  await synced(phone)
  assert.equal((await phone.project.get('tasks/')).results.filter(({ notes }) => notes === 'Unsent').length, 1)
})

define('who has nothing to send is told at once, too, that access has ended, and why', async () => {
  const [removed, deleted] = [await phoneOfMember(), await phoneOfMember()]
  await removed.project.leave(removed.member)
  await deleted.project.send('DELETE', '')
  for (const [phone, code] of [[removed, 'membership_revoked'], [deleted, 'project_deleted']]) {
    for (const _ of ['first', 'again']) {
      const { state, problem } = (await phone.sync.now()).projects[phone.project.id]
      assert.deepEqual([state, problem.code], ['gone', code])
    }
    assert.equal(await phone.row('tasks', 't'), undefined)
  }
})

define('what the server merges is told', async () => {
  const phone = await phoneOfMember()
  await phone.edit('tasks', 't', { name: 'Mine' })
  await phone.edit('projects', phone.project.id, { description: 'Mine' })
  await phone.project.send('PATCH', 'tasks/t/', { notes: 'Theirs' })
  await phone.project.send('PATCH', '', { name: 'Theirs' })
  await synced(phone)
  const merged = phone.sync.merged$.value.map(({ table, fields }) => `${table}: ${fields}`)
  assert.deepEqual(merged.sort(), ['projects: name', 'tasks: notes'])
})

define('a first sync in pages says how many rows there are', async () => {
  const phone = await phoneOfMember()
  for (let n = 0; n < 30; n += 1) await phone.project.send('POST', 'tasks/', { id: `n${n}`, name: `Task ${n}` })
  const other = new Phone({ projects: [phone.project.id], options: {
    baseUrl: url,
    token: () => tokenFor(phone.member),
    fetch: async (address, init) => response(await exchange(address.replace('/sync/?', '/sync/?limit=10&'), init)),
  } })
  const told = []
  other.sync.status$.subscribe(({ projects }) => Object.values(projects).forEach(({ progress }) => progress && told.push(progress)))
  await synced(other)
  const rows = [...new Set(told.map(({ rows }) => rows))]
  assert.deepEqual(rows, [10, 20, 30])
  // A server from before the number was sent says nothing. One that says it means all rows: the project, two members, 31 tasks.
  for (const { total } of told) assert.equal(total, 34)
})

// ---- worlds

const from = Number(process.env.STACK_SEED ?? 1)
const count = Number(process.env.STACK_WORLDS ?? 12)

for (let seed = from; seed < from + count; seed += 1) {
  define(`world ${seed}: each user has fields that nobody else edits, and no edit is lost`, async () => {
    const random = new Random(seed)
    const events = new Events(random)
    const project = await WebProject.create(url)
    const faults = { lost: 0.06, busy: 0.03, late: 0.15, garbled: 0.02 }
    const apps = appsOf(schema, withBaseVersion)
    const users = { ann: 'name', bob: 'notes' }
    const devices = []
    for (const name of Object.keys(users)) {
      const user = `${name}-${randomUUID()}`
      await project.join(user, 300)
      devices.push(new Device({
        name, user, events, random, faults, createSync, baseUrl: url, projects: [project.id],
        adapter: random.pick(['loki', 'sqlite']), schemas: apps.today,
        token: () => tokenFor(user), transport: exchange,
      }))
    }
    complaints.length = 0
    /** By row and field: what its user typed last. Kills may leave one done that was not told. */
    const last = new Map()
    const running = new Map()
    let names = 0
    const edit = async ({ database, name }) => {
      const field = users[name]
      await database.write(async () => {
        const tasks = await database.get('tasks').query().fetch()
        const value = `${name} ${(names += 1)}`
        if (!tasks.length || random.chance(0.25)) {
          const raw = { id: `${name}${names}-${seed}`, project: project.id, name: value, wbs_path: null, duration: 1, percent_complete: 0, notes: '', planned_start: null, status: 'NOT_STARTED', is_milestone: false, assignee: null, optimistic_duration: null, most_likely_duration: null, pessimistic_duration: null, server_version: 0, _status: 'created', _changed: '' }
          return database.batch(database.get('tasks').prepareCreateFromDirtyRaw(raw))
        }
        const task = random.pick(tasks)
        // A row that is not sent yet goes whole: its maker's are all its fields until then.
        if (task._raw._status === 'created' && !task.id.startsWith(name)) return
        last.set(`${task.id}.${field}`, { value, done: false })
        await task.update((it) => it._setRaw(field, value))
        last.set(`${task.id}.${field}`, { value, done: true })
      })
    }
    for (let left = 50; left > 0; ) {
      if (!random.chance(0.12) && (await events.step())) continue
      left -= 1
      const device = random.pick(devices)
      const what = random.weighed({ edit: 40, sync: 25, kill: 8, late: 5, web: 10 })
      if (what === 'kill') device.kill()
      else if (what === 'late') await device.arriveLate()
      else if (what === 'web') {
        const { results } = await project.get('tasks/')
        if (results.length) await project.send('PATCH', `tasks/${random.pick(results).id}/`, { percent_complete: random.below(100) })
      } else if (!running.has(`${device.name} ${device.lives} ${what}`)) {
        const key = `${device.name} ${device.lives} ${what}`
        running.set(key, true)
        const done = () => running.delete(key)
        ;(what === 'edit' ? edit(device) : device.sync.now()).then(done, (error) => {
          done()
          throw error
        })
      }
    }
    Object.assign(faults, { lost: 0, busy: 0, late: 0, garbled: 0 })
    while (await events.step());
    for (const device of devices) while (device.late.length) await device.arriveLate()
    for (let n = 0; n < 3; n += 1) {
      for (const device of devices) {
        const { problem, pending, state } = await events.until(device.sync.now())
        if (n === 2) assert.deepEqual({ problem, pending, state }, { problem: null, pending: 0, state: 'synced' })
        assert.deepEqual(device.sync.conflicts$.value, [], 'nobody edits what another does')
        assert.deepEqual(device.sync.rejected$.value, [])
      }
    }
    const { rows } = await project.whole()
    for (const [key, { value, done }] of last) {
      const [id, field] = key.split('.')
      if (done) assert.equal(rows[`tasks/${id}`]?.row[field], value, key)
    }
    for (const device of devices) {
      const { database } = device
      const here = await events.until(database.read(() => database.get('tasks').query().unsafeFetchRaw()))
      const there = Object.values(rows).filter(({ table }) => table === 'tasks')
      assert.equal(here.length, there.length)
      for (const { row } of there) {
        const stored = here.find(({ id }) => id === row.id)
        assert.equal(stored._status, 'synced')
        for (const [column, value] of Object.entries(row)) assert.deepEqual(typeof value === 'boolean' ? !!stored[column] : (stored[column] ?? null), value, `${row.id}.${column}`)
      }
      device.adapter.close(device.storage, device.real)
    }
    assert.deepEqual(complaints, [])
  })
}
