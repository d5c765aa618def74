// What the package promises, one thing at a time. The fuzz tests that the promises hold whatever goes wrong.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { from } from 'rxjs'
import { build } from 'esbuild'
import { onEachAdapter, newServer, Phone, plainAnswer, web } from './phone.mjs'

const outfile = fileURLToPath(new URL('../build/http.mjs', import.meta.url))
await build({ entryPoints: [fileURLToPath(new URL('../src/http.ts', import.meta.url))], outfile, bundle: true, format: 'esm' })
const { renewedOnce } = await import(pathToFileURL(outfile))

async function synced(options) {
  const phone = new Phone({ server: newServer(options?.server), ...options?.phone })
  const status = await phone.sync.now()
  assert.equal(status.state, 'synced', JSON.stringify(status.problem))
  return phone
}
const task = (phone, id = 't') => phone.server.get('web', 'p', 'tasks', id)

onEachAdapter((adapter) => {
  test(`${adapter}: what is created, changed and deleted on the device is so on the server`, async () => {
    const phone = await synced({ phone: { adapter } })
    web(phone.server, 'POST', 'tasks', 'old', { id: 'old', name: 'Old' })
    await phone.sync.now()
    await phone.add('tasks', { id: 'new', name: 'New', duration: 0, is_milestone: true })
    await phone.add('dependencies', { id: 'edge', predecessor: 't', successor: 'new' })
    await phone.add('calendars', { id: 'site', name: 'Site', exceptions: '[{"start": "2026-05-01", "end": "2026-05-01"}]' })
    await phone.edit('tasks', 't', { percent_complete: 50 })
    await phone.delete('tasks', 'old')
    assert.equal((await phone.sync.now()).pending, 0)
    assert.equal(phone.batches().length, 1, 'one request')
    const project = phone.server.projects.get('p')
    assert.equal(project.row('tasks', 'new').fields.is_milestone, true)
    assert.equal(project.row('dependencies', 'edge').fields.successor, 'new')
    assert.deepEqual(project.row('calendars', 'site').fields.exceptions, [{ description: '', end: '2026-05-01', start: '2026-05-01' }])
    assert.equal(task(phone).percent_complete, 50)
    assert.ok(project.row('tasks', 'old').deleted)
    const { exceptions } = await phone.row('calendars', 'site')
    assert.equal(exceptions, '[{"description":"","end":"2026-05-01","start":"2026-05-01"}]', 'as the server has it')
    await phone.sync.now()
    assert.equal(phone.batches().length, 1, 'and nothing again')
  })

  test(`${adapter}: two users change different fields of one row, and both edits stay`, async () => {
    const phone = await synced({ phone: { adapter } })
    await phone.edit('tasks', 't', { name: 'Dig deep' })
    web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Wet' })
    await phone.sync.now()
    assert.deepEqual([task(phone).name, task(phone).notes], ['Dig deep', 'Wet'])
    assert.equal((await phone.row('tasks', 't')).notes, 'Wet')
  })
})

for (const [choice, expected] of [['mine', 'Mine'], ['theirs', 'Theirs'], [{ value: 'Both' }, 'Both']]) {
  test(`a field that two users change is asked about, and ${JSON.stringify(choice)} is what both have then`, async () => {
    const phone = await synced()
    await phone.edit('tasks', 't', { name: 'Mine', percent_complete: 10 })
    web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
    assert.equal((await phone.sync.now()).pending, 1)
    const { version } = phone.server.projects.get('p').row('tasks', 't')
    const [conflict] = phone.sync.conflicts$.value
    const { mine, theirs, field } = conflict
    assert.deepEqual({ mine, theirs, field }, { mine: 'Mine', theirs: 'Theirs', field: 'name' })
    assert.ok(conflict.version <= version)
    assert.equal(task(phone).percent_complete, 10, 'the other field does not wait')
    assert.equal((await phone.row('tasks', 't')).name, 'Mine', 'the edit stays on the device')
    await phone.sync.resolve(conflict, choice)
    assert.equal((await phone.sync.now()).pending, 0)
    assert.equal(task(phone).name, expected)
    assert.equal((await phone.row('tasks', 't')).name, expected)
    assert.deepEqual(phone.sync.conflicts$.value, [])
  })
}

test('a conflict shows what its user typed last, and "mine" sends that', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  await phone.sync.now()
  await phone.edit('tasks', 't', { name: 'Mine, again' })
  assert.equal((await phone.sync.now()).pending, 1)
  const [conflict] = phone.sync.conflicts$.value
  assert.equal(conflict.mine, 'Mine, again')
  await phone.sync.resolve(conflict, 'mine')
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal(task(phone).name, 'Mine, again')
})

test('a deletion of a row that somebody changed meanwhile is asked about, and can be taken back', async () => {
  const phone = await synced()
  await phone.delete('tasks', 't')
  web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Important' })
  await phone.sync.now()
  const [conflict] = phone.sync.conflicts$.value
  assert.deepEqual([conflict.field, conflict.theirs], [null, { notes: 'Important' }])
  await phone.sync.resolve(conflict, 'theirs')
  await phone.sync.now()
  assert.equal((await phone.row('tasks', 't')).notes, 'Important')
  assert.equal((await phone.row('tasks', 't'))._status, 'synced')
})

test('a deletion of exactly what its user made causes no conflict, even if the device forgot that it was sent', async () => {
  const phone = await synced()
  await phone.add('tasks', { id: 'new', name: 'New' })
  web(phone.server, 'POST', 'tasks', 'new', { id: 'new', name: 'New' })
  await phone.delete('tasks', 'new')
  assert.equal((await phone.sync.now()).pending, 0)
  assert.deepEqual(phone.sync.conflicts$.value, [])
  assert.ok(phone.server.projects.get('p').row('tasks', 'new').deleted)
})

test('a milestone that follows from an edit does not overwrite a duration that nobody saw', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { is_milestone: true })
  web(phone.server, 'PATCH', 'tasks', 't', { duration: 7 })
  await phone.sync.now()
  assert.equal(task(phone).duration, 7)
  const [conflict] = phone.sync.conflicts$.value
  assert.deepEqual([conflict.field, conflict.theirs], ['duration', 7])
  await phone.sync.resolve(conflict, 'theirs')
  await phone.sync.now()
  assert.deepEqual([task(phone).duration, task(phone).is_milestone], [7, false])
  assert.equal((await phone.row('tasks', 't')).is_milestone, false)
})

test('of three edits one is refused: the others arrive, and it waits with its reason until it is edited', async () => {
  const phone = await synced()
  for (const name of ['good 1', 'bad', 'good 2']) await phone.add('tasks', { id: name.replace(' ', ''), name })
  assert.equal((await phone.sync.now()).pending, 1)
  const [rejected] = phone.sync.rejected$.value
  assert.deepEqual([rejected.id, rejected.method, rejected.problem.code], ['bad', 'POST', 'validation_failed'])
  assert.equal(phone.batches().length, 2, 'once more, since an own operation was accepted')
  await phone.sync.now()
  assert.equal(phone.batches().length, 2, 'and no more')
  await phone.edit('tasks', 'bad', { name: 'fine' })
  await phone.sync.now()
  assert.equal(task(phone, 'bad').name, 'fine')
  assert.deepEqual(phone.sync.rejected$.value, [])
})

test('a refused edit that is discarded shows what the server has', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { percent_complete: 200 })
  await phone.sync.now()
  await phone.sync.discard(phone.sync.rejected$.value[0])
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal((await phone.row('tasks', 't')).percent_complete, 0)
})

test('edits of a row that somebody deleted are set aside, and come back as a new row', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { notes: 'Long notes' })
  web(phone.server, 'DELETE', 'tasks', 't')
  await phone.sync.now()
  assert.equal(await phone.row('tasks', 't'), undefined)
  const [edit] = phone.sync.aside$.value
  assert.deepEqual([edit.values, edit.row.name, edit.reason], [{ notes: 'Long notes' }, 'Dig', 'deleted on the server'])
  assert.deepEqual(JSON.parse(phone.sync.exportAside()), [edit])
  await phone.sync.restoreAside(edit)
  await phone.sync.now()
  assert.deepEqual(phone.sync.aside$.value, [])
  const restored = [...phone.server.projects.get('p').rows.values()].find(({ fields, deleted }) => fields.notes === 'Long notes' && !deleted)
  assert.equal(restored.fields.name, 'Dig')
})

test('a member who is removed keeps nothing of the project but unsent edits, and can restore them elsewhere', async () => {
  const server = newServer()
  const other = server.create('q', 'web')
  server.join(other, 'ann')
  const phone = await new Phone({ server, projects: ['p', 'q'] })
  await phone.sync.now()
  await phone.add('tasks', { id: 'mine', name: 'Mine' })
  server.leave(server.projects.get('p'), 'ann')
  await phone.sync.now()
  const { projects } = await phone.sync.now()
  assert.equal(projects.p.state, 'gone')
  assert.equal(projects.q.state, 'synced')
  assert.equal(await phone.row('tasks', 't'), undefined)
  await assert.rejects(phone.sync.restoreAside(phone.sync.aside$.value[0]), { code: 'project_gone' })
  await phone.sync.restoreAside(phone.sync.aside$.value[0], { project: 'q' })
  await phone.sync.now()
  assert.ok([...other.rows.values()].some(({ fields }) => fields.name === 'Mine'))
})

test('settings that were set aside cannot become a new project, and block nothing else', async () => {
  const before = await synced()
  const { database, server } = before
  await before.edit('projects', 'p', { description: 'Unsent' })
  server.leave(server.projects.get('p'), 'ann')
  await before.sync.now()
  await before.sync.now()
  server.join(server.projects.get('p'), 'ann')
  await before.sync.now()
  const [edit] = before.sync.aside$.value
  await assert.rejects(before.sync.restoreAside(edit), { code: 'not_sendable' })
  await before.sync.stop()
  const phone = new Phone({ database, server })
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.deepEqual(phone.sync.aside$.value, [edit])
})

test('with "mine", projects are those that the user is a member of, also later', async () => {
  const phone = await synced({ phone: { projects: 'mine' } })
  assert.deepEqual(Object.keys(phone.sync.status$.value.projects), ['p'])
  phone.server.join(phone.server.create('q', 'web'), 'ann')
  assert.deepEqual(Object.keys((await phone.sync.now()).projects), ['p', 'q'])
})

test('settings of the project and roles go as requests of their own, with what the user has seen', async () => {
  const phone = await synced()
  await phone.edit('projects', 'p', { description: 'By the lake' })
  await phone.edit('memberships', 'p-bob', { role: 100 })
  assert.equal((await phone.sync.now()).pending, 0)
  assert.equal(phone.server.projects.get('p').row('projects', 'p').fields.description, 'By the lake')
  assert.equal(phone.server.projects.get('p').row('memberships', 'p-bob').fields.role, 100)
  const singles = phone.sent.filter(({ method, url }) => method === 'PATCH' && !url.endsWith('/batch/'))
  assert.ok(singles.every(({ headers }) => headers['Idempotency-Key'] && headers['X-Base-Version']))
  await phone.edit('projects', 'p', { description: 'Mine' })
  web(phone.server, 'PATCH', 'projects', 'p', { description: 'Theirs' })
  await phone.sync.now()
  assert.equal(phone.sync.conflicts$.value[0].theirs, 'Theirs')
})

test('a membership that is created on a device is not sent: the server would make another row of it', async () => {
  const phone = await synced()
  await phone.add('memberships', { id: 'invented', user: 'eve' })
  await phone.sync.now()
  const [rejected] = phone.sync.rejected$.value
  assert.deepEqual([rejected.id, rejected.problem.code], ['invented', 'not_sendable'])
  await phone.sync.discard(rejected)
  assert.equal(await phone.row('memberships', 'invented'), undefined)
})

test('a task with more dependencies than a batch deletes is deleted by a request of its own', async () => {
  const phone = await synced({ server: { limit: 3 } })
  const of = (id, body) => web(phone.server, 'POST', id.startsWith('e') ? 'dependencies' : 'tasks', id, { id, ...body })
  for (const n of [1, 2, 3]) {
    of(`s${n}`, { name: 'S' })
    of(`e${n}`, { predecessor: 't', successor: `s${n}` })
  }
  await phone.sync.now()
  await phone.delete('tasks', 't')
  assert.equal((await phone.sync.now()).pending, 0)
  assert.ok(phone.server.projects.get('p').row('tasks', 't').deleted)
})

test('a first sync comes page by page and says how far it is; a delta is applied whole', async () => {
  const server = newServer({ pageSize: 3 })
  for (let n = 0; n < 10; n += 1) web(server, 'POST', 'tasks', `n${n}`, { id: `n${n}`, name: `Task ${n}` })
  const phone = new Phone({ server })
  const told = []
  phone.sync.status$.subscribe(({ projects: { p } }) => p?.progress && told.push(`${p.progress.rows} of ${p.progress.total}`))
  await phone.sync.now()
  assert.deepEqual(told.filter((rows, n) => rows !== told[n - 1]), ['3 of 15', '6 of 15', '9 of 15', '12 of 15'])
  assert.equal(phone.sync.status$.value.projects.p.progress, null)
  told.length = 0
  for (let n = 0; n < 10; n += 1) web(server, 'PATCH', 'tasks', `n${n}`, { name: `Other ${n}` })
  const rows = () => Promise.all([...Array(10).keys()].map((n) => phone.row('tasks', `n${n}`)))
  phone.meanwhile = async ({ url }, plain) => {
    const names = (await rows()).map(({ name }) => name.split(' ')[0])
    assert.equal(new Set(names).size, 1, 'half of it')
    return plain(url)
  }
  await phone.sync.now()
  assert.ok((await rows()).every(({ name }) => name.startsWith('Other')))
  assert.deepEqual(told, [])
})

test('a first sync that goes on after a restart goes on counting, and deletions are no rows', async () => {
  const server = newServer({ pageSize: 3 })
  for (let n = 0; n < 10; n += 1) web(server, 'POST', 'tasks', `n${n}`, { id: `n${n}`, name: `Task ${n}` })
  for (const n of [4, 5]) web(server, 'DELETE', 'tasks', `n${n}`)
  const before = new Phone({ server })
  let pages = 0
  before.meanwhile = async (_, plain) => {
    if ((pages += 1) > 2) throw new Error('no network')
    return plain()
  }
  await before.sync.now()
  await before.sync.stop()
  const phone = new Phone({ server, database: before.database })
  const told = []
  phone.sync.status$.subscribe(({ projects: { p } }) => p?.progress && told.push(`${p.progress.rows} of ${p.progress.total}`))
  await phone.sync.now()
  assert.deepEqual(told.filter((rows, n) => rows !== told[n - 1]), ['9 of 13', '12 of 13'])
})

test('a first sync says how many rows there are even of a server that does not say how many will come', async () => {
  const server = newServer({ pageSize: 3 })
  const phone = new Phone({ server })
  const told = []
  phone.sync.status$.subscribe(({ projects: { p } }) => p?.progress && told.push(p.progress))
  phone.meanwhile = async ({ url }, plain) => {
    const { row_counts: _, ...body } = JSON.parse(await (await plain()).text())
    return plainAnswer(200, JSON.stringify(body))
  }
  await phone.sync.now()
  assert.deepEqual(told[0], { rows: 3, total: null })
})

for (const [how, end, code] of [
  ['is removed from a project', (server) => server.leave(server.projects.get('p'), 'ann'), 'membership_revoked'],
  ['has a project that is deleted', (server) => web(server, 'DELETE', 'projects', 'p'), 'project_deleted'],
]) {
  test(`a user who ${how} is told so by the next sync, and never that all is well`, async () => {
    const phone = await synced()
    await phone.edit('tasks', 't', { percent_complete: 200 })
    await phone.sync.now() // Refused: it is unsent when the project goes.
    end(phone.server)
    const states = []
    const { unsubscribe } = phone.sync.status$.subscribe(({ projects }) => states.push(projects.p.state))
    const { projects } = await phone.sync.now()
    unsubscribe()
    assert.deepEqual([projects.p.state, projects.p.problem.code], ['gone', code])
    assert.deepEqual(states.slice(1).filter((state, n) => state !== states[n]), ['syncing', 'gone'])
    assert.equal(await phone.row('tasks', 't'), undefined)
    assert.deepEqual(phone.sync.aside$.value.map(({ values, reason }) => [values, reason]), [[{ percent_complete: 200 }, code]])
    assert.equal((await phone.sync.now()).projects.p.state, 'gone', 'and stays gone')
  })
}

test('what the server has merged with the edits of others is told, and not what the device wrote itself', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Theirs' })
  phone.meanwhile = async ({ url }, plain) => {
    if (url.includes('/sync/')) throw new Error('no network')
    return plain()
  }
  await phone.sync.now()
  const [merged, ...others] = phone.sync.merged$.value
  assert.deepEqual([merged.project, merged.table, merged.id, merged.fields, others], ['p', 'tasks', 't', ['notes'], []])
  assert.equal(merged.version, phone.server.projects.get('p').row('tasks', 't').version)
  await phone.edit('tasks', 't', { percent_complete: 50 })
  await phone.sync.now()
  assert.deepEqual(phone.sync.merged$.value.map(({ fields }) => fields), [['notes'], ['notes']], 'not the name')
  phone.meanwhile = null
  await phone.sync.now()
  await phone.edit('projects', 'p', { description: 'Mine' })
  web(phone.server, 'PATCH', 'projects', 'p', { name: 'Theirs' })
  await phone.sync.now()
  assert.deepEqual(phone.sync.merged$.value[0].fields, ['name'], 'of a request of its own, too')
  assert.deepEqual((await phone.sync.report()).merged, phone.sync.merged$.value)
})

test('a token that has expired is renewed once', async () => {
  const asked = []
  const token = ({ refresh }) => {
    asked.push(refresh)
    return refresh ? 'ann' : 'nobody'
  }
  const phone = new Phone({ server: newServer(), options: { token } })
  phone.meanwhile = async ({ headers }, plain) => (headers.Authorization === 'Bearer ann' ? plain() : { ...(await plain()), status: 401 })
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.deepEqual(asked.slice(0, 2), [false, true])
})

test('a token is renewed once for all who ask at the same time, and again after it could not be renewed', async () => {
  const renewals = []
  const token = ({ refresh }) => (refresh ? new Promise((resolve, reject) => renewals.push({ resolve, reject })) : 'old')
  const renewing = renewedOnce(token)
  assert.equal(await renewing({ refresh: false }), 'old')
  for (const [end, expected] of [['resolve', 'fulfilled'], ['reject', 'rejected'], ['resolve', 'fulfilled']]) {
    const asked = Promise.allSettled([renewing({ refresh: true }), renewing({ refresh: true })])
    await new Promise(setImmediate)
    assert.equal(renewals.length, 1)
    renewals.pop()[end]('new')
    assert.deepEqual((await asked).map(({ status }) => status), [expected, expected])
  }
  const failing = renewedOnce(() => {
    throw new Error('signed out')
  })
  for (let n = 0; n < 2; n += 1) await assert.rejects(failing({ refresh: true }), /signed out/)
})

test('a renewal of the token that does not end fails after a minute, and the next one asks the app again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let asked = 0
  const renewing = renewedOnce(() => {
    asked += 1
    return asked === 1 ? new Promise(() => {}) : 'new'
  })
  const hanging = assert.rejects(renewing({ refresh: true }), { code: 'network' })
  t.mock.timers.tick(60_000)
  await hanging
  assert.equal(await renewing({ refresh: true }), 'new')
})

test('rows that differ from the server for no reason are repaired once, and told if they differ still', async () => {
  const before = await synced()
  const { database, server } = before
  await before.sync.stop()
  database.adapter.underlyingAdapter._driver.loki.getCollection('tasks').findAndRemove({ id: 't' })
  const phone = new Phone({ database, server })
  assert.equal((await phone.sync.now()).state, 'synced')
  assert.equal((await phone.row('tasks', 't')).name, 'Dig')
  web(server, 'PATCH', 'tasks', 't', { notes: 'Something new' })
  phone.meanwhile = async (_, plain) => {
    const answer = await plain()
    const body = JSON.parse(await answer.text())
    if (body.checksum) body.checksum.tasks[1] += 1
    return { ...answer, text: async () => JSON.stringify(body) }
  }
  assert.equal((await phone.sync.now()).problem.code, 'checksum_mismatch')
  const whole = phone.sent.filter(({ url }) => url.includes('since=0')).length
  await phone.sync.now()
  assert.equal(phone.sent.filter(({ url }) => url.includes('since=0')).length, whole, 'not everything again')
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).state, 'synced')
})

test('before anything was tried the state is offline, and synced once the server was asked, also with no project', async () => {
  for (const projects of ['mine', ['p']]) {
    const phone = new Phone({ server: newServer(), user: projects === 'mine' ? 'nobody' : 'ann', projects })
    const { state, lastSyncedAt, problem } = phone.sync.status$.value
    assert.deepEqual([state, lastSyncedAt, problem], ['offline', null, null])
    assert.equal((await phone.sync.now()).state, 'synced')
  }
})

onEachAdapter((adapter) => {
  test(`${adapter}: on a first start offline, edits count before the server has named the projects`, async () => {
    const phone = new Phone({ server: newServer(), projects: 'mine', adapter })
    phone.meanwhile = async () => {
      throw new Error('no network')
    }
    await phone.add('tasks', { id: 'new' })
    await phone.add('tasks', { id: 'nowhere', project: '' })
    const first = await phone.sync.now()
    assert.deepEqual([first.state, first.pending, first.projects], ['offline', 1, {}])
    const counted = new Promise((resolve) => {
      phone.sync.start()
      phone.sync.status$.subscribe(({ pending }) => pending === 2 && resolve())
    })
    await phone.add('tasks', { id: 'another' })
    await counted
    await phone.sync.stop()
    phone.meanwhile = null
    const { state, pending } = await phone.sync.now()
    assert.deepEqual([state, pending, !!task(phone, 'new'), !!task(phone, 'another')], ['synced', 0, true, true])
  })
})

test('an edit in a project that the server does not name counts no more once it has named the others', async () => {
  const phone = new Phone({ server: newServer(), projects: 'mine' })
  await phone.add('tasks', { id: 'new', project: 'unknown' })
  phone.meanwhile = async () => {
    throw new Error('no network')
  }
  assert.equal((await phone.sync.now()).pending, 1)
  phone.meanwhile = null
  assert.equal((await phone.sync.now()).pending, 0)
})

test('a report has what differs and nothing that the user wrote, unless asked', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Secret plan', percent_complete: 200 })
  await phone.sync.now()
  const report = await phone.sync.report()
  assert.ok(!JSON.stringify(report).includes('Secret'))
  const [{ dirty, parked, checksums, mark }] = report.projects
  assert.deepEqual([dirty[0].id, parked['tasks/t'].code, mark > 0, checksums.tasks[0]], ['t', 'validation_failed', true, 1])
  assert.ok(JSON.stringify(await phone.sync.report({ content: true })).includes('Secret'))
})

test('a report names each row and its version if asked, as they are counted in the checksums, and no content', async () => {
  const phone = await synced()
  web(phone.server, 'POST', 'tasks', 'd', { id: 'd', name: 'Secret' })
  await phone.sync.now()
  await phone.add('tasks', { id: 'new', name: 'Secret' })
  await phone.edit('tasks', 't', { percent_complete: 200, name: 'Secret' })
  await phone.delete('tasks', 'd')
  const [brief] = (await phone.sync.report()).projects
  assert.equal(brief.rows, undefined)
  const report = await phone.sync.report({ rows: true })
  assert.ok(!JSON.stringify(report).includes('Secret'))
  const [{ rows, checksums }] = report.projects
  const server = phone.server.projects.get('p')
  const version = (id) => server.row('tasks', id).version
  assert.deepEqual(rows.tasks, { t: version('t'), d: version('d') }, 'not what the server never sent')
  assert.deepEqual(Object.keys(rows), ['projects', 'tasks', 'dependencies', 'calendars', 'memberships'])
  assert.deepEqual([checksums, Object.keys(rows.memberships).length], [brief.checksums, brief.checksums.memberships[0]])
  // Somebody changes the row that is deleted here: the newer version counts, in both.
  web(phone.server, 'PATCH', 'tasks', 'd', { notes: 'Theirs' })
  await phone.sync.now()
  const [after] = (await phone.sync.report({ rows: true })).projects
  assert.equal(after.rows.tasks.d, version('d'))
  assert.ok(after.shadow['tasks/d'] > 0)
})

test('the observables are such for RxJS, too', async () => {
  const phone = await synced()
  const seen = []
  const subscription = from(phone.sync.status$).subscribe(({ pending }) => seen.push(pending))
  await phone.edit('tasks', 't', { percent_complete: 200 })
  await phone.sync.now()
  assert.deepEqual([seen[0], seen.at(-1)], [0, 1])
  subscription.unsubscribe()
})

/** Starts it, and waits for the sync that begins with that. */
async function started(phone) {
  await new Promise((resolve) => {
    phone.meanwhile = async (_, plain) => {
      resolve()
      return plain()
    }
    phone.sync.start()
  })
  phone.meanwhile = null
  await phone.sync.now()
}

test('once started, an edit is sent without being asked for', async () => {
  const phone = await synced()
  phone.sync.start()
  await phone.edit('tasks', 't', { name: 'By itself' })
  await new Promise((resolve) => {
    phone.meanwhile = async ({ url }, plain) => {
      const answer = await plain()
      if (url.endsWith('/batch/')) resolve()
      return answer
    }
  })
  assert.equal(task(phone).name, 'By itself')
  await phone.sync.stop()
})

test('once started, a choice for the value of the server is carried out without being asked for', async () => {
  const phone = await synced()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  await phone.sync.now()
  await started(phone)
  const [conflict] = phone.sync.conflicts$.value
  const fetched = new Promise((resolve) => {
    phone.meanwhile = async ({ url }, plain) => {
      if (url.endsWith('/tasks/t/')) resolve()
      return plain()
    }
  })
  await phone.sync.resolve(conflict, 'theirs')
  await fetched
  await phone.sync.stop()
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
})

test('when the network is back all projects are synced, also if one of them had asked for a sync', async () => {
  const server = newServer()
  server.join(server.create('q', 'web'), 'ann')
  let tell
  const network = (listener) => {
    tell = listener
    return () => {}
  }
  const phone = new Phone({ server, projects: ['p', 'q'], options: { network } })
  await started(phone)
  phone.sent.length = 0
  phone.sync.poke({ project: 'p', version: 1_000 })
  tell(true)
  await new Promise((resolve) => {
    phone.sync.status$.subscribe(({ state }) => state === 'syncing' && resolve())
  })
  await phone.sync.stop()
  assert.deepEqual(phone.sent.map(({ url }) => url.match(/projects\/(.)\/sync/)[1]), ['p', 'q'])
})

test('a poke with a new version pulls that project, and a poke with an old version does nothing', async () => {
  const phone = await synced()
  phone.sync.start()
  await phone.sync.now()
  web(phone.server, 'PATCH', 'tasks', 't', { name: 'Theirs' })
  const before = phone.sent.length
  phone.sync.poke({ project: 'p', version: 1 })
  phone.sync.poke({ project: 'p', version: phone.server.projects.get('p').counter })
  await new Promise((resolve) => {
    phone.sync.status$.subscribe(({ state }) => state === 'synced' && phone.sent.length > before && resolve())
  })
  assert.equal((await phone.row('tasks', 't')).name, 'Theirs')
  assert.equal(phone.sent.length, before + 1)
  await phone.sync.stop()
})
