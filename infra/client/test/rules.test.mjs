// Rules whose absence the fuzz notices only after many worlds. Each test plays the one order of events that needs its rule.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { app, failWrite, newDatabase, newServer, Phone, plainAnswer, synced, web, whilePulling } from './phone.mjs'

const home = mkdtempSync(join(tmpdir(), 'trueppm-'))
after(() => rmSync(home, { recursive: true, force: true }))

const task = (phone, id = 't') => phone.server.get('web', 'p', 'tasks', id)

test('an edit made while a pull is under way keeps its base: what the pull brings was not seen before it', async () => {
  const phone = await synced()
  whilePulling(phone, async () => {
    await phone.edit('tasks', 't', { name: 'Mine' })
    web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  })
  await phone.sync.now()
  assert.equal(task(phone).name, 'Theirs')
  assert.equal(phone.sync.conflicts$.value[0]?.theirs, 'Theirs')
})

test('a field that follows from an edit made while a pull is under way keeps its base, too', async () => {
  const phone = await synced()
  whilePulling(phone, async () => {
    await phone.edit('tasks', 't', { is_milestone: true })
    web(phone.server, 'PATCH', 'tasks', 't', { duration: 7 })
  })
  await phone.sync.now()
  assert.equal(task(phone).duration, 7)
  assert.equal(phone.sync.conflicts$.value[0]?.field, 'duration')
})

test('a field that follows from an edit keeps its base, even if an earlier edit that it follows from was accepted', async () => {
  const phone = await synced()
  web(phone.server, 'PATCH', 'tasks', 't', { is_milestone: true })
  await phone.sync.now()
  await phone.edit('tasks', 't', { is_milestone: false })
  web(phone.server, 'PATCH', 'tasks', 't', { duration: 7 })
  whilePulling(phone, () => phone.edit('tasks', 't', { is_milestone: true }))
  await phone.sync.now()
  assert.equal(task(phone).duration, 7)
  assert.deepEqual(phone.sync.conflicts$.value.map(({ field, theirs }) => [field, theirs]), [['duration', 7]])
})

test('a refusal ends when somebody else sends the value, even while another field of the row is in conflict', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs', duration: 0, is_milestone: true })
  await phone.sync.now()
  await phone.edit('tasks', 't', { is_milestone: false })
  await phone.sync.now()
  assert.deepEqual(phone.sync.rejected$.value.map(({ values }) => values), [{ is_milestone: false }])
  web(phone.server, 'PATCH', 'tasks', 't', { duration: 1, is_milestone: false })
  await phone.sync.now()
  await phone.sync.now()
  assert.deepEqual(phone.sync.rejected$.value, [])
  assert.deepEqual(phone.sync.conflicts$.value.map(({ field }) => field), ['name'])
})

test('a value that is typed after another was given up stays', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  await phone.sync.now()
  await phone.sync.resolve(phone.sync.conflicts$.value[0], 'theirs')
  await phone.edit('tasks', 't', { name: 'Mine once more' })
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).name, 'Mine once more')
})

test('a user who takes the value of the server and types another one before it comes is not asked again', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  await phone.sync.now()
  await phone.sync.resolve(phone.sync.conflicts$.value[0], 'theirs')
  await phone.edit('tasks', 't', { name: 'Mine once more' })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.deepEqual([phone.sync.conflicts$.value, task(phone).name], [[], 'Mine once more'])
})

test('what is given up while a pull is under way is carried out by the next one', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine', notes: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs', notes: 'Theirs' })
  await phone.sync.now()
  const [one, other] = phone.sync.conflicts$.value
  await phone.sync.resolve(one, 'theirs')
  whilePulling(phone, () => phone.sync.resolve(other, 'theirs'))
  await phone.sync.now()
  assert.equal((await phone.sync.now()).pending, 0)
  const { name, notes } = await phone.row('tasks', 't')
  assert.deepEqual([name, notes], ['Theirs', 'Theirs'])
})

test('a refused edit is sent again when somebody else has removed the reason', async () => {
  const phone = await synced()
  phone.server.join(phone.server.projects.get('p'), 'ann', 1)
  await phone.edit('tasks', 't', { name: 'Mine' })
  await phone.sync.now()
  assert.equal(phone.sync.rejected$.value[0].problem.code, 'role_too_low')
  phone.server.join(phone.server.projects.get('p'), 'ann', 100)
  await phone.sync.now()
  assert.equal(task(phone).name, 'Mine')
})

test('a refused edit is sent again when an operation of the same request has removed the reason', async () => {
  const phone = await synced()
  web(phone.server, 'POST', 'tasks', 's', { id: 's', name: 'S' })
  await phone.sync.now()
  await phone.add('dependencies', { id: 'second', predecessor: 't', successor: 's' })
  web(phone.server, 'POST', 'dependencies', 'first', { id: 'first', predecessor: 't', successor: 's' })
  await phone.sync.now()
  assert.equal(phone.sync.rejected$.value[0].problem.code, 'duplicate_dependency')
  await phone.edit('dependencies', 'second', { lag: 1 }) // This puts it into the next request, before the other one.
  await phone.edit('dependencies', 'first', { dep_type: 'SS' })
  assert.equal((await phone.sync.now()).pending, 0)
})

test('an edit back to a value that was accepted and replaced is sent, even if the app was killed when the row came', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  phone.meanwhile = async ({ url }, plain) => {
    if (url.includes('/sync/')) web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
    return plain()
  }
  const { mark } = await phone.database.localStorage.get('trueppm:project:p')
  failWrite(phone, (state) => state.mark > mark)
  assert.equal((await phone.sync.now()).problem?.code, 'storage_failed')
  phone.meanwhile = null
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
  await phone.edit('tasks', 't', { name: 'Mine' })
  await phone.sync.now()
  assert.equal(task(phone).name, 'Mine')
})

test('any one write of the state may fail: nothing is sent twice, asked twice or lost', async () => {
  let wereThereMore = true
  for (let n = 1; wereThereMore; n += 1) {
    assert.ok(n < 30)
    const phone = await synced()
    await phone.add('tasks', { id: 'new', name: 'New' })
    await phone.edit('tasks', 't', { name: 'Mine' })
    web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Theirs' })
    let left = n
    const stopFailing = failWrite(phone, () => (left -= 1) === 0)
    wereThereMore = (await phone.sync.now()).state === 'error'
    stopFailing()
    await phone.edit('tasks', 'new', { name: 'New name' })
    await phone.edit('tasks', 't', { name: 'Mine again' })
    const { state, pending } = await phone.sync.now()
    assert.deepEqual([state, pending, phone.sync.rejected$.value, phone.sync.conflicts$.value], ['synced', 0, [], []], `write ${n}`)
    assert.deepEqual([task(phone).name, task(phone).notes, task(phone, 'new').name], ['Mine again', 'Theirs', 'New name'])
  }
})

test('a server that was restored and has lost an edit gets it again, though the device was told that it was accepted', async () => {
  const phone = await synced()
  const project = phone.server.projects.get('p')
  const backup = phone.server.backup(project)
  await phone.edit('tasks', 't', { name: 'Mine' })
  phone.meanwhile = async ({ url }, plain) => {
    if (!url.includes('/sync/')) return plain()
    throw new Error('no network')
  }
  await phone.sync.now()
  assert.equal(task(phone).name, 'Mine')
  phone.server.restore(project, backup)
  assert.equal(task(phone).name, 'Dig')
  phone.meanwhile = null
  await phone.sync.now()
  const asked = phone.sync.conflicts$.value.map(({ mine }) => mine)
  assert.ok(task(phone).name === 'Mine' || asked[0] === 'Mine')
})

test('a device that is wiped, killed and added again gets everything anew', async () => {
  const phone = await synced()
  const project = phone.server.projects.get('p')
  phone.server.leave(project, 'ann')
  failWrite(phone, ({ status }) => status === 'gone')
  assert.equal((await phone.sync.now()).problem?.code, 'storage_failed')
  assert.equal(await phone.row('tasks', 't'), undefined)
  phone.server.join(project, 'ann', 100)
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.equal((await phone.row('tasks', 't')).name, 'Dig')
})

test('edits of a user who is removed are set aside even if the wipe was interrupted', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { notes: 'Unsent' })
  phone.meanwhile = async () => plainAnswer(403, JSON.stringify({ status: 403, code: 'membership_revoked', detail: '' }))
  failWrite(phone, ({ status }) => status === 'gone')
  await phone.sync.now()
  await phone.sync.now()
  assert.deepEqual(phone.sync.aside$.value.map(({ values }) => values), [{ notes: 'Unsent' }])
  assert.equal(phone.sync.status$.value.projects.p.state, 'gone')
  assert.equal(await phone.row('tasks', 't'), undefined)
})

test('an interrupted wipe is finished although the user was added again, and nothing that was set aside is sent', async () => {
  const phone = await synced()
  const project = phone.server.projects.get('p')
  await phone.edit('tasks', 't', { notes: 'Unsent' })
  phone.server.leave(project, 'ann')
  const { adapter } = phone.database
  const { batch } = adapter
  adapter.batch = async () => {
    adapter.batch = batch
    throw new Error('killed')
  }
  assert.equal((await phone.sync.now()).state, 'error')
  phone.server.join(project, 'ann', 100)
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.deepEqual(phone.sync.aside$.value.map(({ values }) => values), [{ notes: 'Unsent' }])
  assert.deepEqual([task(phone).notes, (await phone.row('tasks', 't')).notes], ['', ''])
})

test('a row that is deleted before it was ever sent causes no conflict', async () => {
  const phone = await synced()
  await phone.add('tasks', { id: 'new', name: 'New' })
  await phone.delete('tasks', 'new')
  assert.equal((await phone.sync.now()).pending, 0)
  assert.deepEqual(phone.sync.rejected$.value, [])
  assert.equal(await phone.row('tasks', 'new'), undefined)
})

test('a deletion is taken back once: an edit of the row that came back stays, though the app was killed when it came', async () => {
  const phone = await synced()
  await phone.delete('tasks', 't')
  web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Important' })
  await phone.sync.now()
  await phone.sync.resolve(phone.sync.conflicts$.value[0], 'theirs')
  failWrite(phone, ({ fetch }) => !fetch['tasks/t'])
  assert.equal((await phone.sync.now()).problem?.code, 'storage_failed')
  await phone.edit('tasks', 't', { percent_complete: 200 }) // Refused, so that it is still there when the pull comes.
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).percent_complete, 200)
  assert.equal(phone.sync.rejected$.value[0].problem.code, 'validation_failed')
})

test('the mark moves when the rows are there: killed in between, the device pulls them again', async () => {
  const file = join(home, 'mark.db')
  const before = await synced({ database: newDatabase('SQLite', app, file) })
  web(before.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  before.database.adapter.batch = async () => {
    throw new Error('killed')
  }
  assert.equal((await before.sync.now()).state, 'error')
  await before.sync.stop()
  const phone = new Phone({ server: before.server, database: newDatabase('SQLite', app, file) })
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
  assert.ok(!phone.sent.some(({ url }) => url.includes('since=0')), 'by the next delta, and not by a repair')
})

test('rows that a full disk kept away are there after a restart, though a repair did not help before', async () => {
  const file = join(home, 'full.db')
  const before = await synced({ database: newDatabase('SQLite', app, file) })
  web(before.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  const { adapter } = before.database
  const { batch } = adapter
  adapter.batch = async () => {
    throw new Error('full')
  }
  await before.sync.now()
  adapter.batch = batch
  await before.sync.now() // WatermelonDB believes that the row is there.
  await before.sync.stop()
  const phone = new Phone({ server: before.server, database: newDatabase('SQLite', app, file) })
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
})

test('a row whose edits were all accepted leaves nothing aside when it is deleted, even if it takes two attempts', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  phone.meanwhile = async ({ url }, plain) => {
    if (url.includes('/sync/')) web(phone.server, 'DELETE', 'tasks', 't')
    return plain()
  }
  const { batch } = phone.database.adapter
  phone.database.adapter.batch = async () => {
    phone.database.adapter.batch = batch
    throw new Error('killed')
  }
  assert.equal((await phone.sync.now()).state, 'error')
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.deepEqual([phone.sync.aside$.value, await phone.row('tasks', 't')], [[], undefined])
})

test('a repair in many pages destroys nothing that a later page names', async () => {
  const phone = new Phone({ server: newServer({ pageSize: 3 }) })
  for (let n = 0; n < 10; n += 1) web(phone.server, 'POST', 'tasks', `n${n}`, { id: `n${n}`, name: `Task ${n}` })
  await phone.sync.now()
  await phone.edit('tasks', 'n9', { percent_complete: 200 })
  let requests = 0
  phone.meanwhile = async (_, plain) => {
    requests += 1
    assert.ok(requests < 50)
    return plain()
  }
  assert.equal((await phone.sync.repair('p')).state, 'synced')
  assert.equal((await phone.row('tasks', 'n9')).percent_complete, 200)
  assert.deepEqual(phone.sync.aside$.value, [])
})

test('an edit that is being sent again is not given up meanwhile: nobody knows yet what becomes of it', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { percent_complete: 200 })
  await phone.sync.now()
  const [rejected] = phone.sync.rejected$.value
  await phone.add('tasks', { id: 'other', name: 'Other' }) // Is accepted, so that the refused one is sent again.
  const outcomes = []
  phone.meanwhile = async ({ url, body }, plain) => {
    if (url.endsWith('/batch/') && body.includes('200')) outcomes.push(await phone.sync.discard(rejected).then(() => 'given up', ({ code }) => code))
    return plain()
  }
  await phone.sync.now()
  assert.deepEqual(outcomes, ['busy_sending'])
})

test('a question about a row that its user has deleted since is void: the deletion is judged by itself', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  await phone.sync.now()
  const [conflict] = phone.sync.conflicts$.value
  await phone.delete('tasks', 't')
  await phone.sync.resolve(conflict, 'mine')
  const { insist, conflicts } = await phone.database.localStorage.get('trueppm:project:p')
  assert.deepEqual([insist, conflicts], [{}, {}])
})
