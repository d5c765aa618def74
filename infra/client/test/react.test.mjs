import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'
import { newServer, Phone, web } from './phone.mjs'

test('the hooks show what the observables say', async () => {
  const outfile = fileURLToPath(new URL('../build/react.mjs', import.meta.url))
  const entryPoints = [fileURLToPath(new URL('../src/react.ts', import.meta.url))]
  await build({ entryPoints, outfile, bundle: true, format: 'esm', packages: 'external', logLevel: 'error' })
  const { useAside, useConflicts, useMerged, useRejected, useSyncStatus } = await import(pathToFileURL(outfile))
  const phone = new Phone({ server: newServer() })
  const App = () => {
    const { state, pending } = useSyncStatus(phone.sync)
    const counts = [useConflicts, useRejected, useAside, useMerged].map((use) => use(phone.sync).length)
    return createElement('p', null, [state, pending, ...counts].join(' '))
  }
  assert.equal(renderToString(createElement(App)), '<p>offline 0 0 0 0 0</p>')
  await phone.sync.now()
  await phone.edit('tasks', 't', { name: 'Mine' })
  web(phone.server, 'PATCH', 'tasks', 't', { notes: 'Theirs' })
  await phone.sync.now()
  await phone.edit('tasks', 't', { percent_complete: 200 })
  await phone.sync.now()
  assert.equal(renderToString(createElement(App)), '<p>synced 1 0 1 0 1</p>')
})
