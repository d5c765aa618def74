// What the pages for app developers show: their code (infra/docs/code), and the messages that their troubleshooting explains.

import { readFileSync } from 'node:fs'

const docs = new URL('../../infra/docs/', import.meta.url)

const addresses = new Map([['trueppm', import.meta.resolve('#trueppm')]])

/**
 * The address of a module made from a file of infra/docs/code. It is the same each time, so that every import gets the same
 * module. The imports in the file are resolved from this package, which has WatermelonDB, and in the form that Node needs.
 */
function address(name) {
  if (!addresses.has(name)) {
    const code = readFileSync(new URL(`code/${name}.js`, docs), 'utf8')
    const resolved = code.replaceAll(/^import (\w+|\{.*\}) from '(.*)'$/gm, (_, imported, from) => {
      if (from.startsWith('./')) return `import ${imported} from '${address(from.slice(2))}'`
      const path = import.meta.resolve(`${from}/index.js`)
      // A default export of CommonJS is a property in Node.
      return imported.startsWith('{') ? `import ${imported} from '${path}'` : `import { default as ${imported}_ } from '${path}'\nconst ${imported} = ${imported}_.default`
    })
    addresses.set(name, `data:text/javascript,${encodeURIComponent(resolved).replaceAll("'", '%27')}`)
  }
  return addresses.get(name)
}

export const { checksum } = await import(address('checksum'))
export const { openDatabase } = await import(address('database'))
export const { syncProject, SyncError } = await import(address('sync'))
export const { sendChange } = await import(address('send'))

/** The first cells of the table of what the console says. */
export const messages = (() => {
  const page = readFileSync(new URL('plain-client.md', docs), 'utf8')
  const [, , ...rows] = page.match(/^\| the console says \|.*\n(?:\|.*\n)+/m)[0].trim().split('\n')
  return rows.map((row) => row.match(/^\| `(.*?)` \|/)[1])
})()
