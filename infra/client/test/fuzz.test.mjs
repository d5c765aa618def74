// Some worlds of the fuzz, from a seed: FUZZ_WORLDS and FUZZ_SEED play others. `npm run soak` plays on.

import './fuzz/events.mjs'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { client, serverSchema } from './build.mjs'
import { mutants } from './fuzz/mutants.mjs'
import { appsOf } from './fuzz/schemas.mjs'
import { World } from './fuzz/world.mjs'

const from = Number(process.env.FUZZ_SEED ?? 1)
const worlds = Number(process.env.FUZZ_WORLDS ?? 1_000)

const schema = await serverSchema()

for (const [adapter, first, count] of [['loki', from, Math.ceil(worlds * 0.8)], ['sqlite', from + Math.ceil(worlds * 0.8), Math.floor(worlds * 0.2)]]) {
  test(`in ${count} worlds from seed ${first} on ${adapter}, no edit is lost and all agree at the end`, async () => {
    const { createSync, withBaseVersion } = await client()
    const apps = appsOf(schema, withBaseVersion)
    for (let seed = first; seed < first + count; seed += 1) {
      const violations = await new World(seed, { createSync, apps, adapter }).play()
      assert.deepEqual(violations, [], `npm run fuzz -- --from ${seed} --worlds 1 --adapter ${adapter}`)
    }
  })
}

test('every mutant still fits the sources', async () => {
  for (const mutant of mutants) await client(mutant)
  assert.ok(mutants.length > 50)
})
