// Two that write the state of one project at the same time. The storage is the test's.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const outfile = fileURLToPath(new URL('../build/state.mjs', import.meta.url))
await build({ entryPoints: [fileURLToPath(new URL('../src/state.ts', import.meta.url))], outfile, bundle: true, format: 'esm' })
const { Store } = await import(pathToFileURL(outfile))

/** Two stores on one storage, whose writes wait while `held` is set. */
async function twoStores() {
  const texts = new Map()
  const it = { held: null }
  const localStorage = {
    get: async (key) => texts.has(key) ? JSON.parse(texts.get(key)) : undefined,
    set: async (key, value) => {
      const text = JSON.stringify(value)
      await it.held
      texts.set(key, text)
    },
  }
  it.stores = ['one', 'other'].map((writer) => new Store({ localStorage }, 'p', writer, () => {}))
  await it.stores[0].update((draft) => void (draft.mark = 1))
  for (const store of it.stores) await store.load()
  return it
}

test('of two that write over each other the one that was overwritten notices it, and leaves the state alone', async () => {
  const it = await twoStores()
  const [one, other] = it.stores
  let release
  it.held = new Promise((resolve) => (release = resolve))
  const writes = [one.update((draft) => void (draft.mark = 2)), other.update((draft) => void (draft.mark = 3))]
  await new Promise(setImmediate) // Both have read.
  release()
  await Promise.all(writes)
  await assert.rejects(one.update((draft) => void (draft.mark = 4)), { code: 'two_instances' })
  await other.update((draft) => void (draft.activity = 5))
  assert.deepEqual([other.state.mark, other.state.activity], [3, 5])
})
