// How long a sync of 50,000 rows takes, and in how much memory: node --expose-gc test/volume.mjs

import { newDatabase, newServer, Phone, web } from './phone.mjs'

const ROWS = 50_000
const task = (n) => ({ id: `task-${n}`, name: `Task ${n}`, notes: 'Some notes, as people write them.', duration: 1 + (n % 9) })

for (const adapter of ['LokiJS', 'SQLite']) {
  const server = newServer({ pageSize: 15_000 })
  for (let n = 0; n < ROWS; n += 1) server.addForVolume('p', 'tasks', task(n))
  const phone = new Phone({ server, database: newDatabase(adapter) })
  const measure = async (what, work) => {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    const started = performance.now()
    const { state, problem } = await work()
    const ms = Math.round(performance.now() - started)
    const held = Math.round((process.memoryUsage().heapUsed - before) / 1e6)
    globalThis.gc?.()
    const kept = Math.round((process.memoryUsage().heapUsed - before) / 1e6)
    console.log(`${adapter.padEnd(7)} ${what.padEnd(44)} ${String(ms).padStart(6)} ms, ${held} MB more at its end, ${kept} MB kept${problem ? `: ${state} ${problem.code}` : ''}`)
  }
  await measure(`first sync of ${ROWS} rows`, () => phone.sync.now())
  await measure('sync with nothing to do', () => phone.sync.now())
  for (let n = 0; n < 100; n += 1) await phone.edit('tasks', `task-${n}`, { name: `Mine ${n}` })
  await measure('sync of 100 edits', () => phone.sync.now())
  web(server, 'PATCH', 'tasks', 'task-7', { notes: 'Theirs' })
  await measure('sync of one change of another user', () => phone.sync.now())
  await measure('repair', () => phone.sync.repair('p'))
}
process.exit(0)
