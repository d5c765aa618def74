// Plays each mutant until the fuzz notices it: node test/fuzz/play-mutants.mjs [--worlds N] [--from SEED] [--adapter NAME] [RULE …]

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutants } from './mutants.mjs'

const { values, positionals } = parseArgs({ allowPositionals: true, options: { worlds: { type: 'string', default: '1000' }, from: { type: 'string', default: '1' }, adapter: { type: 'string', default: 'loki' } } })
const main = fileURLToPath(new URL('main.mjs', import.meta.url))
const survivors = []
for (const { rule } of mutants.filter(({ rule }) => !positionals.length || positionals.includes(rule))) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, '--mutant', rule, '--worlds', values.worlds, '--from', values.from, '--adapter', values.adapter], { encoding: 'utf8' })
  const [, seed, first] = /^seed (\d+):\n +(.*)$/m.exec(stdout) ?? []
  if (status === 0 || !seed) survivors.push(rule)
  console.log(`${rule.padEnd(28)} ${seed ? `world ${Number(seed) - Number(values.from) + 1}: ${first.slice(0, 110)}` : status === 0 ? `survives ${values.worlds} worlds` : `does not run: ${stderr.slice(0, 300)}`}`)
}
console.log(`${survivors.length} survive${survivors.length ? `: ${survivors.join(', ')}` : ''}`)
process.exit(survivors.length ? 1 : 0)
