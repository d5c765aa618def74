// The package hears of changes over the local stack's WebSocket: the real server, its table's stream, the real WatermelonDB.
// Nothing polls here: the first poll comes after minutes.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { Random } from '../fuzz/random.mjs'
import { response } from '../mock/http.mjs'
import { newDatabase, onEachAdapter, Phone } from '../phone.mjs'
import { exchange, startStack, tokenFor, WebProject } from './server.mjs'

const { url, stop } = await startStack()
const phones = []
after(async () => {
  for (const { sync } of phones) await sync.stop()
  stop()
})
const address = `${url.replace(/^http/, 'ws')}/live`

/** A socket that loses some of the pokes, and nothing else. */
const losing = (loses) =>
  class extends WebSocket {
    set onmessage(hear) {
      super.onmessage = hear && ((event) => {
        if ('project' in JSON.parse(event.data) && loses()) return
        hear(event)
      })
    }
  }

async function until(what, condition, seconds = 60) {
  for (const end = Date.now() + seconds * 1_000; Date.now() < end; await pause(20)) if (await condition()) return
  assert.fail(`${what}: not within ${seconds} seconds`)
}

/** A phone of a new member of a project, which is live. */
async function livePhone(project, { adapter, loses = () => false, live = {}, user = `ann-${randomUUID()}`, token = () => tokenFor(user) } = {}) {
  await project.join(user, 300)
  const fetch = async (address, init) => response(await exchange(address, init))
  const options = { baseUrl: url, token, fetch, live: { url: address, WebSocket: losing(loses), ...live } }
  const phone = new Phone({ database: newDatabase(adapter), projects: [project.id], options })
  Object.assign(phone, { member: user, add: (table, fields) => Phone.prototype.add.call(phone, table, { project: project.id, ...fields }) })
  phones.push(phone)
  phone.sync.start()
  await isLive(phone)
  return phone
}
const isLive = (phone) => until('live', () => phone.sync.status$.value.live === 'live' && phone.sync.status$.value.state === 'synced')

/** The tasks of a device or of the server, as one text. */
const printOf = (rows) => rows.map(({ id, server_version, name, notes }) => JSON.stringify([id, server_version, name, notes])).sort().join('\n')
async function hasAll(phone, project) {
  const { rows } = await project.whole()
  const there = Object.values(rows).filter(({ table }) => table === 'tasks').map(({ row }) => row)
  const here = await phone.database.get('tasks').query().unsafeFetchRaw()
  return printOf(there) === printOf(here) && here.every(({ _status }) => _status === 'synced')
}

onEachAdapter((adapter) => {
  for (const [name, probability] of [['by pokes alone', 0], ['with half of all pokes dropped', 0.5]]) {
    test(`${adapter}: two devices and a browser that edit one project converge ${name}`, async (t) => {
      const seed = Math.floor(Math.random() * 2 ** 31)
      t.diagnostic(`seed ${seed}`)
      const random = new Random(seed)
      let lost = 0
      const loses = () => random.chance(probability) && (lost += 1) > 0
      const project = await WebProject.create(url)
      for (const id of ['a', 'b', 'c']) await project.send('POST', 'tasks/', { id, name: 'Dig' })
      const two = [await livePhone(project, { adapter, loses }), await livePhone(project, { adapter, loses })]
      for (let n = 0; n < 25; n += 1) {
        const [id, phone] = [random.pick(['a', 'b', 'c']), random.pick([...two, null])]
        if (!phone) await project.send('PATCH', `tasks/${id}/`, { name: `web ${n}` })
        else if (random.chance(0.3)) await phone.add('tasks', { id: `new-${n}`, name: `phone ${n}` })
        else await phone.edit('tasks', id, { notes: `phone ${n}` })
        await pause(random.below(400))
      }
      for (const phone of two) {
        // Two who edit the same notes are asked: both take the server's.
        await until('sent', async () => {
          for (const conflict of phone.sync.conflicts$.value) await phone.sync.resolve(conflict, 'theirs')
          return phone.sync.status$.value.pending === 0
        })
      }
      // The last poke may be lost. The next one that arrives makes up for it.
      await until('converged', async () => {
        if (probability) await project.send('PATCH', 'tasks/a/', { name: `web ${randomUUID()}` })
        await pause(700)
        return (await Promise.all(two.map((phone) => hasAll(phone, project)))).every(Boolean)
      })
      assert.equal(lost > 0, probability > 0)
      t.diagnostic(`${lost} pokes were lost`)
    })
  }
})

test('a member who is removed is told, and forgets the project', async () => {
  const project = await WebProject.create(url)
  await project.send('POST', 'tasks/', { id: 't', name: 'Dig' })
  const phone = await livePhone(project)
  await until('pulled', () => phone.row('tasks', 't'))
  await project.leave(phone.member)
  await until('forgotten', async () => !(await phone.row('tasks', 't')))
  await until('not live', () => phone.sync.status$.value.live === 'polling')
})

test('a device whose token has expired is told at the next change, renews it, and misses nothing', async () => {
  const project = await WebProject.create(url)
  await project.send('POST', 'tasks/', { id: 't', name: 'Dig' })
  const user = `ann-${randomUUID()}`
  // The server takes a token for a minute longer than it says: this one for ten seconds.
  const expires = Math.floor(Date.now() / 1000) - 50
  const asked = []
  const token = ({ refresh }) => {
    asked.push(refresh)
    return tokenFor(user, asked.includes(true) ? undefined : expires)
  }
  const phone = await livePhone(project, { user, token })
  await pause(Math.max(0, (expires + 62) * 1_000 - Date.now()))
  await project.send('PATCH', 'tasks/t/', { name: 'After it expired' })
  await until('pulled', async () => (await phone.row('tasks', 't')).name === 'After it expired')
  assert.ok(asked.includes(true))
})

test('from a write to the row on a second device (printed, on this machine and whatever else it does)', async (t) => {
  const [devices, writes] = [8, 12]
  const took = { request: [], answer: [] }
  await Promise.all(Array.from({ length: devices }, async () => {
    const project = await WebProject.create(url)
    await project.send('POST', 'tasks/', { id: 't', name: 'Dig' })
    const phone = await livePhone(project)
    let arrived
    const arrival = phone.database.withChangesForTables(['tasks']).subscribe(async () => {
      const at = performance.now()
      const row = await phone.row('tasks', 't')
      if (row?.name === arrived?.name) arrived.tell(at)
    })
    for (let n = 0; n < writes; n += 1) {
      await pause(1_100 + Math.random() * 300) // A project is poked once a second.
      const name = `Write ${n}`
      const came = new Promise((tell) => { arrived = { name, tell } })
      const start = performance.now()
      await project.send('PATCH', 'tasks/t/', { name })
      const answered = performance.now()
      const at = await came
      took.request.push(at - start)
      took.answer.push(at - answered)
    }
    arrival.unsubscribe()
  }))
  for (const [from, times] of Object.entries(took)) {
    times.sort((one, other) => one - other)
    const quantile = (share) => `${Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))])} ms`
    t.diagnostic(`from the ${from} to the row on the other device: median ${quantile(0.5)}, p99 ${quantile(0.99)}, of ${times.length}`)
  }
})
