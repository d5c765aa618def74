// `trueppm diagnose` reads the package's report. A phone is damaged without the package, and each damage must be named.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { newDatabase, onEachAdapter, Phone } from '../phone.mjs'
import { response } from '../mock/http.mjs'
import { binary, exchange, startStack, tokenFor, WebProject } from './server.mjs'

const { url, table, stop } = await startStack()
const directory = mkdtempSync(join(tmpdir(), 'diagnose-'))
after(() => {
  stop()
  rmSync(directory, { recursive: true })
})

/** A phone that has just synced a project with the tasks `t` and `d`. */
async function syncedPhone(adapter) {
  const project = await WebProject.create(url)
  const user = `ann-${randomUUID()}`
  await project.join(user, 300)
  for (const id of ['t', 'd']) await project.send('POST', 'tasks/', { id, name: 'Secret' })
  let phone // Loses answers while it is told to.
  const fetch = async (address, init) => {
    const answer = response(await exchange(address, init))
    if (phone.losesAnswers) throw new Error('lost')
    return answer
  }
  const options = { baseUrl: url, token: () => tokenFor(user), fetch }
  phone = new Phone({ database: newDatabase(adapter), projects: [project.id], options })
  const { state, problem } = await phone.sync.now()
  assert.deepEqual([state, problem], ['synced', null])
  return Object.assign(phone, { project, member: user })
}

/** What is found in a report, and the exit status. */
async function diagnosed(phone, report) {
  const file = join(directory, `${randomUUID()}.json`)
  writeFileSync(file, JSON.stringify(report))
  const ran = spawnSync(binary, ['diagnose', file, '--dynamodb-url', table, '--user', phone.member, '--json'], { encoding: 'utf8', env: {} })
  assert.equal(ran.stderr, '')
  assert.ok(!ran.stdout.includes('Secret'))
  const { device, projects } = JSON.parse(ran.stdout)
  return [ran.status, [...device, ...projects[0].findings].map(({ finding }) => finding)]
}

async function found(phone, options = { rows: true }) {
  return diagnosed(phone, await phone.sync.report(options))
}

/** Writes a row past WatermelonDB's record of changes, and past the package. */
const overwrite = (phone, id, fields) =>
  phone.database.write(async () => {
    const row = await phone.database.get('tasks').find(id)
    await phone.database.batch(row.prepareUpdate((it) => {
      it._raw = { ...it._raw, ...fields, _status: 'synced', _changed: '' }
    }))
  })

async function setState(phone, change) {
  const key = `trueppm:project:${phone.project.id}`
  const state = await phone.database.localStorage.get(key)
  await phone.database.localStorage.set(key, { ...state, ...change })
  return restarted(phone)
}

/** The report of the same database after the app was started anew. */
async function restarted(phone) {
  await phone.sync.stop()
  const again = new Phone({ database: phone.database, projects: [phone.project.id], options: { baseUrl: url, fetch: async () => { throw new Error('offline') } } })
  const report = await again.sync.report({ rows: true })
  await again.sync.stop()
  return report
}

onEachAdapter((adapter) => {
  test(`${adapter}: a phone that has synced does not differ, nor does one that is behind or has unsent edits`, async () => {
    const phone = await syncedPhone(adapter)
    for (const options of [{}, { rows: true }]) assert.deepEqual(await found(phone, options), [0, []])
    await phone.edit('tasks', 't', { name: 'Secret, too' })
    assert.deepEqual(await found(phone), [0, ['edits_waiting']])
    await phone.project.send('PATCH', 'tasks/d/', { name: 'New' })
    for (const options of [{}, { rows: true }]) assert.deepEqual(await found(phone, options), [0, ['behind', 'edits_waiting']])
    await phone.project.send('DELETE', 'tasks/t/')
    assert.deepEqual(await found(phone), [0, ['behind', 'edit_of_gone_row']])
    await phone.project.leave(phone.member)
    assert.deepEqual(await found(phone), [1, ['user_removed']])
    await phone.sync.now()
    assert.deepEqual(await found(phone), [0, ['user_removed', 'edits_set_aside']])
  })

  test(`${adapter}: edits that the server refuses or asks about are named, and a lost answer is found`, async () => {
    const phone = await syncedPhone(adapter)
    await phone.edit('tasks', 'd', { percent_complete: 200 })
    await phone.edit('tasks', 't', { name: 'Secret of mine' })
    await phone.project.send('PATCH', 'tasks/t/', { name: 'Secret of theirs' })
    await phone.sync.now()
    assert.deepEqual(await found(phone), [1, ['edit_refused', 'conflict_open', 'edits_waiting']])
    const lost = await syncedPhone(adapter)
    await lost.edit('tasks', 't', { notes: 'Secret' })
    lost.losesAnswers = true
    await lost.sync.now()
    assert.deepEqual(await found(lost), [0, ['not_syncing', 'behind', 'edits_waiting', 'request_answered']])
    lost.losesAnswers = false
    await lost.sync.now()
    assert.deepEqual((await found(lost))[0], 0)
  })

  test(`${adapter}: a row that is lost or old on the phone is named`, async () => {
    const phone = await syncedPhone(adapter)
    await overwrite(phone, 't', { server_version: 2 })
    assert.deepEqual(await found(phone), [1, ['rows_stale', 'collection_differs']])
    assert.deepEqual(await found(phone, {}), [1, ['collection_differs']])
    await phone.database.write(async () => (await phone.database.get('tasks').find('d')).destroyPermanently())
    assert.deepEqual(await found(phone), [1, ['rows_missing', 'rows_stale', 'collection_differs']])
    await phone.sync.repair(phone.project.id)
    assert.deepEqual(await found(phone), [0, []])
  })

  test(`${adapter}: notes of the package that cannot be true are named`, async () => {
    const phone = await syncedPhone(adapter)
    const [{ mark }] = (await phone.sync.report()).projects
    for (const [change, expected] of [
      [{ mark: mark + 900 }, ['mark_above_server']],
      [{ mark: 0 }, ['mark_lost']],
      [{ mark, request: { key: 'k', batch: false, text: '', operations: [{ method: 'PATCH', table: 'tasks', id: 't' }] } }, ['request_unanswered']],
      [{ request: null, acks: { 'tasks/t': { v: 2, fields: {} } } }, ['confirmation_lost']],
    ]) {
      const [, names] = await diagnosed(phone, await setState(phone, change))
      assert.deepEqual(names, expected, JSON.stringify(change))
    }
  })
})
