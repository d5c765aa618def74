// Leaves out each rule, and says which test and at which world the fuzz notices: npm run mutants -- [--worlds N] [--from SEED]
// [--adapter NAME] [--table] [RULE …]. With `--worlds 0` the tests have to notice. `--table` prints Markdown.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { mutants } from './mutants.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    worlds: { type: 'string', default: '300' },
    from: { type: 'string', default: '1' },
    adapter: { type: 'string', default: 'loki' },
    table: { type: 'boolean', default: false },
  },
})
const at = (path) => fileURLToPath(new URL(path, import.meta.url))
const run = (args, MUTANT = '') => spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, MUTANT } })

/** The first test that fails. */
function failingTest(rule) {
  for (const name of ['rules', 'arrival', 'restored', 'sync', 'bad-input', 'several', 'tabs', 'heads']) {
    const { stdout } = run(['--test', '--test-reporter=tap', '--test-timeout=60000', at(`../${name}.test.mjs`)], rule)
    const failed = /^not ok \d+ - (.*)$/m.exec(stdout)?.[1]
    if (failed) return failed
  }
  return undefined
}

/** The first world with a violation. */
function failingWorld(rule) {
  if (values.worlds === '0') return undefined
  const { status, stdout, stderr } = run([at('main.mjs'), '--mutant', rule, '--worlds', values.worlds, '--from', values.from, '--adapter', values.adapter])
  const [, seed, first] = /^seed (\d+):\n +(.*)$/m.exec(stdout) ?? []
  if (seed) return `seed ${seed}: ${first}`
  if (status !== 0) throw new Error(`${rule} does not run: ${stderr}`)
  return undefined
}

const survivors = []
for (const { rule } of mutants.filter(({ rule }) => !positionals.length || positionals.includes(rule))) {
  const [test, world] = [failingTest(rule), failingWorld(rule)]
  if (!test && !world) survivors.push(rule)
  const played = world ?? (values.worlds === '0' ? 'no world played' : `survives ${values.worlds} worlds`)
  if (values.table) console.log(`| \`${rule}\` | ${test ?? 'no test'} | ${played.replace(/^(seed \d+: \(.\)).*$/, '$1').replaceAll('|', '\\|')} |`)
  else console.log(`${rule}\n  ${test ? `test: ${test}` : 'no test'}\n  ${played}`)
}
console.log(`${survivors.length} survive${survivors.length ? `: ${survivors.join(', ')}` : ''}`)
process.exit(survivors.length ? 1 : 0)
