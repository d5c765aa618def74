// The local stack (TRUEPPM_BIN), and what the tests do to it over REST.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export const binary = process.env.TRUEPPM_BIN ?? fileURLToPath(new URL('../../../../target/debug/trueppm', import.meta.url))
const secret = randomBytes(32).toString('hex')

/** Starts it. Answers its address, and that of its table. */
export function startStack() {
  const server = spawn(binary, ['serve', '--port', '0'], { env: { RUST_LOG: 'warn', ...process.env, JWT_SECRET: secret }, stdio: ['ignore', 'pipe', 'inherit'] })
  process.once('exit', () => server.kill())
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`${binary} ended with ${code} before it was ready`)))
    let table
    createInterface({ input: server.stdout }).on('line', (line) => {
      table ??= line.match(/^table .*(http:[^,\s]+)/)?.[1]
      const ready = line.match(/listening on (http:\S+)/)
      if (ready) resolve({ url: ready[1], table, stop: () => server.kill() })
    })
  })
}

export function tokenFor(user, expires = Math.floor(Date.now() / 1000) + 3600) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp: expires })}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

/** A request as `fetch` answers it, in the form of the mock's. */
export async function exchange(url, { method, headers, body }) {
  const response = await fetch(url, { method, headers, ...(body && { body }) })
  return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() }
}

/** A project, as a user at a browser sees it. */
export class WebProject {
  constructor(url, id, owner) {
    Object.assign(this, { url, id, owner })
  }

  static async create(url) {
    const owner = `web-${randomUUID()}`
    const project = new WebProject(url, randomUUID(), owner)
    await project.#call('POST', '/api/v1/projects/', { id: project.id, name: 'Bridge', start_date: '2026-03-02' })
    return project
  }

  /** A server that does not know the mode refuses the member as such. */
  async hasBatchesOfModeEach() {
    const operation = { method: 'POST', path: 'tasks/', body: { name: 'Probe' } }
    const headers = { authorization: `Bearer ${tokenFor(this.owner)}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ mode: 'each', operations: [operation] })
    return (await exchange(`${this.url}/api/v1/projects/${this.id}/batch/`, { method: 'POST', headers, body })).status === 200
  }

  get(path) {
    return this.send('GET', path)
  }

  /** A request below the project, with the status that it must have. */
  send(method, path, body, user = this.owner) {
    return this.#call(method, `/api/v1/projects/${this.id}/${path}`, body, user)
  }

  join(user, role = 100) {
    return this.send('POST', 'memberships/', { user, role })
  }

  async leave(user) {
    const { results } = await this.get('memberships/?limit=1000')
    await this.send('DELETE', `memberships/${results.find((row) => row.user === user).id}/`)
  }

  /** Everything, as a new device gets it. */
  async whole() {
    const rows = {}
    let since = 0
    for (;;) {
      const { changes, timestamp, has_more } = await this.get(`sync/?since=${since}`)
      for (const [table, { updated }] of Object.entries(changes)) for (const row of updated) rows[`${table}/${row.id}`] = { table, row }
      if (!has_more) return { rows, timestamp }
      since = timestamp
    }
  }

  async #call(method, path, body, user = this.owner) {
    const headers = { authorization: `Bearer ${tokenFor(user)}`, ...(body && { 'content-type': 'application/json' }) }
    const { status, text } = await exchange(this.url + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    assert.ok(status < 300, `${method} ${path} ${JSON.stringify(body)}: ${status} ${text}`)
    return text ? JSON.parse(text) : null
  }
}
