// What the pages for app developers show: their code (infra/docs/code), and the messages that their troubleshooting explains.

import { readFileSync } from 'node:fs'

const docs = new URL('../../infra/docs/', import.meta.url)

const addresses = new Map([['trueppm', import.meta.resolve('#trueppm')]])

/**
 * The address of a module made of a file of infra/docs/code, the same each time: a module is one however often it is imported.
 * Its imports are resolved as those of this package, which has a WatermelonDB, in the form that Node wants.
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
