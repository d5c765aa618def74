// When a sync begins. The clock of the timers is the test's.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const outfile = fileURLToPath(new URL('../build/schedule.mjs', import.meta.url))
await build({ entryPoints: [fileURLToPath(new URL('../src/schedule.ts', import.meta.url))], outfile, format: 'esm' })
const { Schedule } = await import(pathToFileURL(outfile))

const pace = { debounce: 1_000, poll: 100_000, retry: 1_000, maxRetry: 64_000 }

/** A schedule whose attempts fail as they are told; `random` is always the longest pause. */
function scheduled(t, ...outcomes) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const it = { attempts: 0 }
  const attempt = async () => {
    it.attempts += 1
    return outcomes.shift() ?? { failed: false }
  }
  it.schedule = new Schedule(attempt, pace, () => 0.999)
  /** So much time passes, and what is due is done. */
  let now = 0
  t.mock.method(performance, 'now', () => now)
  it.pass = async (pause) => {
    now += pause
    t.mock.timers.tick(pause)
    for (let n = 0; n < 5; n += 1) await Promise.resolve()
  }
  return it
}
const failed = (retryAfter) => ({ failed: true, retryAfter })

test('it begins at once, and then now and then', async (t) => {
  const it = scheduled(t)
  it.schedule.start()
  await it.pass(1)
  assert.equal(it.attempts, 1)
  await it.pass(140_000)
  assert.equal(it.attempts, 1)
  await it.pass(20_000)
  assert.equal(it.attempts, 2)
})

test('changes that follow each other make one sync', async (t) => {
  const it = scheduled(t)
  it.schedule.start()
  await it.pass(1)
  for (let n = 0; n < 5; n += 1) it.schedule.changed()
  await it.pass(500)
  assert.equal(it.attempts, 1)
  await it.pass(600)
  assert.equal(it.attempts, 2)
})

test('pauses after failures double, and a change of the device does not shorten them', async (t) => {
  const it = scheduled(t, failed(), failed(), failed())
  it.schedule.start()
  await it.pass(1)
  await it.pass(2_000)
  assert.equal(it.attempts, 2)
  it.schedule.changed()
  await it.pass(2_000)
  assert.equal(it.attempts, 2, 'not after two seconds')
  await it.pass(2_000)
  assert.equal(it.attempts, 3)
})

test('the pause that the server asks for is kept, even when the app comes back to the foreground', async (t) => {
  const it = scheduled(t, failed(30))
  it.schedule.start()
  await it.pass(1)
  it.schedule.soon()
  await it.pass(29_000)
  assert.equal(it.attempts, 1)
  await it.pass(2_000)
  assert.equal(it.attempts, 2)
})

test('the network comes back: at once, whatever failed before', async (t) => {
  const it = scheduled(t, failed(), failed(), failed(), failed())
  it.schedule.start()
  for (const pause of [1, 2_000, 4_000]) await it.pass(pause)
  assert.equal(it.attempts, 3)
  it.schedule.soon()
  await it.pass(1)
  assert.equal(it.attempts, 4)
})

for (const years of [10_000_000, Infinity]) {
  test(`a server that asks to wait ${years} seconds is asked again after an hour, and not all the time`, async (t) => {
    const it = scheduled(t, failed(years))
    it.schedule.start()
    await it.pass(1)
    it.schedule.soon()
    await it.pass(3_599_000)
    assert.equal(it.attempts, 1)
    await it.pass(2_000)
    assert.equal(it.attempts, 2)
  })
}

test('a timer that fires early does not begin anything early', async (t) => {
  const it = scheduled(t)
  it.schedule.start()
  await it.pass(1)
  it.schedule.changed()
  const { now } = performance
  t.mock.method(performance, 'now', () => now() - 0.7)
  await it.pass(1_000)
  assert.equal(it.attempts, 1)
  await it.pass(1)
  assert.equal(it.attempts, 2)
})

test('once stopped, nothing begins any more', async (t) => {
  const it = scheduled(t)
  it.schedule.start()
  await it.pass(1)
  it.schedule.stop()
  it.schedule.soon()
  it.schedule.changed()
  await it.pass(1_000_000)
  assert.equal(it.attempts, 1)
})
