// The server under test: the deployment at BASE_URL, whose JWT_SECRET must then be given too, or else a local stack
// (TRUEPPM_BIN) that each test file starts for itself.

import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { after } from 'node:test'
import { promisify } from 'node:util'

assert.ok(process.env.JWT_SECRET || !process.env.BASE_URL, 'BASE_URL needs its JWT_SECRET')
const binary = process.env.TRUEPPM_BIN ?? fileURLToPath(new URL('../../target/debug/trueppm', import.meta.url))

/** Of the local stack: its table, and the address of the engine that has it. Empty for a deployment. */
export const stack = {}

const secret = process.env.JWT_SECRET ?? randomBytes(32).toString('hex')
export const baseUrl = process.env.BASE_URL?.replace(/\/$/, '') ?? (await startLocalStack())

async function startLocalStack() {
  const server = spawn(binary, ['serve', '--port', '0'], {
    env: { RUST_LOG: 'warn', ...process.env, JWT_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  after(() => server.kill())
  process.once('exit', () => server.kill())
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`${binary} ended with ${code} before it was ready`)))
    createInterface({ input: server.stdout }).on('line', (line) => {
      const table = line.match(/^table +(\S+) at (http:[^,\s]+)/)
      if (table) [, stack.table, stack.endpoint] = table
      const ready = line.match(/listening on (http:\S+)/)
      if (ready) resolve(ready[1])
    })
  })
}

/** A call of the engine past the product, by its name in DynamoDB's API. */
export async function dynamodb(action, input) {
  const response = await fetch(stack.endpoint, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `DynamoDB_20120810.${action}`,
      'x-amz-date': '20260101T000000Z', // the engine wants a signature and does not check it
      authorization:
        'AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: JSON.stringify({ TableName: stack.table, ...input }),
  })
  const text = await response.text()
  assert.equal(response.status, 200, `${action}: ${text}`)
  return JSON.parse(text)
}

/** An operator's command on the stack's table. Answers its report. */
export async function operate(command, ...options) {
  const where = ['--table-name', stack.table, '--dynamodb-url', stack.endpoint]
  const { stdout } = await promisify(execFile)(binary, [command, '--json', ...where, ...options])
  return JSON.parse(stdout)
}

export const newUser = () => `user-${randomUUID()}`

export function tokenFor(user, expires = Math.floor(Date.now() / 1000) + 3600) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp: expires })}`
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
}

export const request = (token, path, { method, body, headers } = {}) =>
  fetch(baseUrl + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }), ...headers },
    body: body && JSON.stringify(body),
  })

export const syncPath = (project, since, query = '') => `/api/v1/projects/${project.id}/sync/?since=${since}${query}`

export const Role = { viewer: 1, member: 100, scheduler: 200, admin: 300, owner: 400 }

/** A project as its owner changes and reads it: over REST. */
export class Project {
  constructor(id, owner) {
    this.id = id
    this.owner = owner
  }

  static async create(fields = {}) {
    const owner = newUser()
    const body = { name: 'Bridge', start_date: '2025-03-03', ...fields }
    const row = await call(owner, 'POST', '/api/v1/projects/', body, 201)
    return new Project(row.id, owner)
  }

  path(collection, id) {
    const project = `/api/v1/projects/${this.id}/`
    return collection === 'projects' ? project : `${project}${collection}/${id ? `${id}/` : ''}`
  }

  add(collection, body) {
    return call(this.owner, 'POST', this.path(collection), body, 201)
  }

  change(collection, id, patch) {
    return call(this.owner, 'PATCH', this.path(collection, id), patch, 200)
  }

  remove(collection, id) {
    return call(this.owner, 'DELETE', this.path(collection, id), undefined, 204)
  }

  /** Several changes as one, as an app sends what it collected while it was offline. */
  batch(user, operations) {
    return call(user, 'POST', this.path('batch'), { operations }, 200)
  }

  addTask(name = 'Task', fields = {}) {
    return this.add('tasks', { name, duration: 1, ...fields })
  }

  async addTasks(count) {
    const tasks = []
    for (let n = 1; n <= count; n++) tasks.push(await this.addTask(`Task ${n}`))
    return tasks
  }

  addDependency(predecessor, successor, fields = {}) {
    const ends = { predecessor: predecessor.id, successor: successor.id }
    return this.add('dependencies', { ...ends, dep_type: 'FS', lag: 0, ...fields })
  }

  addCalendar(name = 'Weekdays', fields = {}) {
    const week = { working_days: 31, hours_per_day: 8, timezone: 'Europe/Zurich', exceptions: [] }
    return this.add('calendars', { name, ...week, ...fields })
  }

  addMember(role = Role.member, user = newUser()) {
    return this.add('memberships', { user, role })
  }

  /** Every live row of a collection. */
  async list(collection) {
    if (collection === 'projects') return [await call(this.owner, 'GET', this.path('projects'), undefined, 200)]
    const rows = []
    let next = `${this.path(collection)}?limit=100`
    while (next) {
      const page = await call(this.owner, 'GET', next, undefined, 200)
      rows.push(...page.results)
      next = page.next
    }
    return rows
  }
}

async function call(user, method, path, body, expected) {
  const response = await request(tokenFor(user), path, { method, body })
  const text = await response.text()
  assert.equal(response.status, expected, `${method} ${path} ${JSON.stringify(body)}: ${text}`)
  return text ? JSON.parse(text) : undefined
}
