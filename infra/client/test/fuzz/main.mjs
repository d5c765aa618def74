// node test/fuzz/main.mjs [--worlds N] [--from SEED] [--adapter loki|sqlite|both] [--mutant RULE] [--seconds N]

import './events.mjs' // First: it sets the stage for WatermelonDB.
import { parseArgs } from 'node:util'
import { client, serverSchema } from '../build.mjs'
import { mutants } from './mutants.mjs'
import { appsOf } from './schemas.mjs'
import { World } from './world.mjs'

const { values } = parseArgs({
  options: {
    worlds: { type: 'string', default: '500' },
    from: { type: 'string', default: '1' },
    adapter: { type: 'string', default: 'both' },
    actions: { type: 'string', default: '60' },
    seconds: { type: 'string' },
    mutant: { type: 'string' },
  },
})

const mutant = values.mutant && mutants.find(({ rule }) => rule === values.mutant)
if (values.mutant && !mutant) throw new Error(`no such mutant; there are ${mutants.map(({ rule }) => rule).join(', ')}`)
const { createSync, withBaseVersion } = await client(mutant)
const apps = appsOf(await serverSchema(), withBaseVersion)
const [from, count] = [Number(values.from), Number(values.worlds)]
const until = values.seconds ? performance.now() + Number(values.seconds) * 1_000 : Infinity

const sums = {}
let seed = from
let bad = 0
for (; seed < from + count && performance.now() < until; seed += 1) {
  const world = new World(seed, { createSync, apps, adapter: values.adapter, actions: Number(values.actions) })
  const violations = await world.play()
  for (const stats of [world.stats, ...world.devices.map(({ stats }) => stats)]) for (const [name, n] of Object.entries(stats)) sums[name] = (sums[name] ?? 0) + n
  if (violations.length) {
    bad += 1
    console.log(`seed ${seed}:\n  ${violations.slice(0, 5).join('\n  ')}`)
    if (bad >= 5 || mutant) break
  }
}
console.log(`${seed - from} worlds from seed ${from} on ${values.adapter}, ${bad} with violations, ${JSON.stringify(sums)}`)
process.exit(bad ? 1 : 0)
