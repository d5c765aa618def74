// The code that the README gives to app developers, as it stands there.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** The JavaScript block of the README that has this in it, as a module. */
async function block(text) {
  const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code)
  const [code, ...others] = blocks.filter((code) => code.includes(text))
  assert.ok(code && !others.length, `not one block with ${text}`)
  return import(`data:text/javascript,${encodeURIComponent(code)}`)
}

export const { checksum } = await block('export function checksum(')
export const { pullOrReplace } = await block('export async function pullOrReplace(')

/** The first cells of the table of what the console says. */
export const messages = (() => {
  const [, , ...rows] = readme.match(/^\| the console says \|.*\n(?:\|.*\n)+/m)[0].trim().split('\n')
  return rows.map((row) => row.match(/^\| `(.*?)` \|/)[1])
})()
