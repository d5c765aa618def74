// tests/smoke, which checks a deployment: it passes on a healthy server, and says what is wrong with a faulty one.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { baseUrl, newUser, request, tokenFor } from './server.mjs'

const script = fileURLToPath(new URL('../smoke', import.meta.url))
const token = tokenFor(newUser())

/** Runs the script, which must not print the token whatever happens. */
async function smoke(address, ...options) {
  const child = spawn(script, options, { env: { PATH: process.env.PATH, BASE_URL: address, TOKEN: token } })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  assert.ok(!`${out}${err}`.includes(token), 'the token was printed')
  return { code, out, err }
}

/** The server with a fault: `tamper(answer, request)` changes an answer, or makes one of its own. */
async function faulty(t, tamper) {
  const proxy = createServer(async (request, response) => {
    const { host, connection, ...headers } = request.headers
    const body = await text(request)
    const init = { method: request.method, headers, body: body || undefined }
    const real = await fetch(baseUrl + request.url, init)
    const answer = { status: real.status, headers: {}, body: await real.text() }
    await tamper(answer, request)
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(answer.body)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => proxy.close())
  return `http://127.0.0.1:${proxy.address().port}`
}

/** Changes the body of each answer to a pull. */
const inPulls = (change) => (answer, request) => {
  if (!request.url.includes('/sync') || answer.status !== 200) return
  const body = JSON.parse(answer.body)
  change(body, request)
  answer.body = JSON.stringify(body)
}

async function liveProjects() {
  const response = await request(token, '/api/v1/projects/')
  return (await response.json()).results
}

async function assertFails(address, reason, ...options) {
  const { code, err } = await smoke(address, ...options)
  assert.equal(code, 1, err)
  assert.match(err, reason)
  assert.deepEqual(await liveProjects(), [], 'it left a project behind')
}

test('it passes on a server that is well, a line for each step, and leaves nothing', async () => {
  const { code, out, err } = await smoke(`${baseUrl}/`)
  assert.equal(code, 0, err)
  assert.equal(out.match(/^ok  /gm).length, 10)
  assert.deepEqual(await liveProjects(), [])
})

test('it waits as long as a 503 asks, and sends the same again', async (t) => {
  const keys = []
  let refused
  const address = await faulty(t, (answer, request) => {
    if (request.method !== 'PATCH') return
    keys.push(request.headers['idempotency-key'])
    if (keys.length === 1) {
      refused = Date.now()
      Object.assign(answer, { status: 503, headers: { 'retry-after': '1' }, body: '{"code":"busy"}' })
    } else {
      assert.ok(Date.now() - refused >= 1000)
    }
  })
  const { code, err } = await smoke(address)
  assert.equal(code, 0, err)
  assert.match(keys[0], /^[0-9a-f-]{36}$/)
  assert.deepEqual(keys, [keys[0], keys[0]])
})

test('it does not wait for ever', async (t) => {
  const busy = { status: 503, headers: { 'retry-after': '1' }, body: '{"code":"busy"}' }
  const address = await faulty(t, (answer, { method }) => method === 'PATCH' && Object.assign(answer, busy))
  await assertFails(address, /change task: PATCH \S+ was answered 503, not 200 \(busy\)/, '--patience', '2')
})

test('it fails on a server that is not there', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  const { code, err } = await smoke(`http://127.0.0.1:${port}`)
  assert.equal(code, 1)
  assert.match(err, /FAILED {2}health: GET \/health got no answer from \S+: .*refused/)
})

test('it fails on a pull that loses a row', async (t) => {
  const address = await faulty(t, inPulls(({ changes }) => (changes.tasks.updated = [])))
  await assertFails(address, /pull everything: the pull from 0 .* does not bring the task/)
})

test('it fails on a pull that only the address without a slash answers rightly', async (t) => {
  const stale = ({ changes }, { url }) => url.includes('/sync/?since=0') && (changes.projects.updated = [])
  await assertFails(await faulty(t, inPulls(stale)), /pull everything: .*…\/sync\/ does not bring the project/)
})

test('it fails on a mark that is too high', async (t) => {
  await assertFails(await faulty(t, inPulls((body) => (body.timestamp += 1))), /pull everything: .* ends at 4/)
})

test('it fails on a delta that brings too much', async (t) => {
  const address = await faulty(t, async (answer, { url, headers: { authorization } }) => {
    if (!url.includes('since=3')) return
    answer.body = await (await fetch(baseUrl + url.replace('since=3', 'since=0'), { headers: { authorization } })).text()
  })
  await assertFails(address, /pull nothing: the pull from 3 .* brings something/)
})

test('it fails on a deleted project that devices keep', async (t) => {
  const address = await faulty(t, inPulls(({ changes }) => (changes.tasks.deleted = [])))
  await assertFails(address, /pull wipe: .* does not take back tasks/)
})

test('it fails on a server that asks nobody for a token', async (t) => {
  const open = (answer) => answer.status === 401 && Object.assign(answer, { status: 200, body: '{"results":[]}' })
  await assertFails(await faulty(t, open), /refuses a stranger: .* was answered 200, not 401/)
})

test('it does not repeat a token that the server repeats', async (t) => {
  const chatty = (answer, { method, headers }) =>
    method === 'PATCH' && Object.assign(answer, { status: 500, body: `no ${headers.authorization}` })
  await assertFails(await faulty(t, chatty), /was answered 500, not 200 \(no Bearer \*\*\*\)/)
})

test('it sends no token to another server', async (t) => {
  const asked = []
  const elsewhere = createServer((request, response) => response.end(`${asked.push(request.url)}`)).listen(0, '127.0.0.1')
  await once(elsewhere, 'listening')
  t.after(() => elsewhere.close())
  const location = `http://127.0.0.1:${elsewhere.address().port}/`
  const address = await faulty(t, (answer, { url }) => {
    if (url.includes('/sync')) Object.assign(answer, { status: 308, headers: { location }, body: '' })
  })
  await assertFails(address, /was redirected to another server/)
  assert.deepEqual(asked, [])
})

test('it wants https, except on this machine', async () => {
  const { code, err } = await smoke('http://api.example.com')
  assert.equal(code, 2)
  assert.match(err, /set BASE_URL to an https:\/\/ address/)
})
