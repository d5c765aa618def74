// Bundles for the tests: the client, whole or with a rule left out, and the schema that apps copy.

import { existsSync, readFileSync, renameSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
const generated = ['../../api/trueppm.ts', '../../trueppm.ts'].map(at).find(existsSync)
const options = { bundle: true, format: 'esm', platform: 'neutral', target: 'es2022', packages: 'external', logLevel: 'error' }

/** The generated schema, as an app has it. */
export async function serverSchema() {
  return (await bundle('trueppm', generated)).schema
}

/** Writes it beside and moves it there: other tests read the same file. */
async function bundle(name, entryPoint, plugins = []) {
  const [outfile, unfinished] = [at(`../build/${name}.mjs`), at(`../build/${name}-${process.pid}.tmp.mjs`)]
  await build({ ...options, entryPoints: [entryPoint], outfile: unfinished, plugins })
  renameSync(unfinished, outfile)
  return import(pathToFileURL(outfile))
}

/** The package; with a mutant, `{ file, find, replace }` in its sources. */
export function client(mutant) {
  return bundle(mutant ? `mutant-${mutant.rule}-${process.pid}` : 'client', at('../src/index.ts'), mutant ? [without(mutant)] : [])
}

const without = ({ rule, edits }) => ({
  name: 'mutant',
  setup(build) {
    const left = new Set(edits)
    build.onLoad({ filter: /src\/[^/]+\.ts$/ }, ({ path }) => {
      let contents = readFileSync(path, 'utf8')
      for (const edit of edits.filter(({ file }) => file === basename(path))) {
        if (!contents.includes(edit.find)) throw new Error(`the mutant ${rule} does not fit ${edit.file} any more`)
        contents = contents.replace(edit.find, () => edit.replace)
        left.delete(edit)
      }
      return { contents, loader: 'ts' }
    })
    build.onEnd(() => {
      if (left.size) throw new Error(`the mutant ${rule} names a file that is not there`)
    })
  },
})
