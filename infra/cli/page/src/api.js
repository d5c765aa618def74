// Calls to the product and to the demo's own routes.

import { signal } from '@preact/signals'

/** The demo's users, each with a token. */
export const users = signal([])

const tokenOf = (user) => users.value.find((known) => known.user === user)?.token

/** The server cannot be reached, or its response is not JSON. */
export class Unreachable extends Error {}

/**
 * A call as one of the users. Returns `{ ok, status, headers, text, body, ms }` for every status.
 * `base` is sent as `X-Base-Version`; a change gets an `Idempotency-Key` unless it has one.
 */
export async function call(user, method, path, { body, base, key } = {}) {
  const headers = { authorization: `Bearer ${tokenOf(user)}` }
  if (body !== undefined) headers['content-type'] = 'application/json'
  if (base !== undefined) headers['x-base-version'] = String(base)
  if (method !== 'GET') headers['idempotency-key'] = key ?? newKey()
  return send(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) })
}

/** A call to the demo's own routes, without a user. */
export const stack = (method, path, body, headers = {}) =>
  send(`/demo/${path}`, {
    method,
    headers: body === undefined ? headers : { ...headers, 'content-type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  })

async function send(path, options) {
  const started = performance.now()
  let response, text
  try {
    response = await fetch(path, options)
    text = await response.text()
  } catch {
    throw new Unreachable('Cannot reach the server.')
  }
  const ms = performance.now() - started
  let answered = null
  if (text) {
    try {
      answered = JSON.parse(text)
    } catch {
      throw new Unreachable(`The server's response (${response.status}) is not JSON.`)
    }
  }
  return { ok: response.ok, status: response.status, headers: response.headers, text, body: answered, ms }
}

/** An idempotency key for one change: a repeated request with the same key is applied once. */
export const newKey = () =>
  // randomUUID exists in secure contexts only. http://localhost is one, a host's address is not.
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')

/** A problem as one sentence. */
export function problem({ status, body }) {
  const fields = body?.errors?.map(({ field, message }) => `${field} ${message}`).join('; ')
  return `${status} ${body?.code ?? ''}: ${fields || body?.detail || 'the server gave no reason'}`
}

/** `Server-Timing` as a list of `{ name, dur, desc }`. */
export function timings(header) {
  const entries = (header ?? '').match(/(?:"[^"]*"|[^,"])+/g) ?? []
  return entries.map((entry) => {
    const [name, ...parameters] = entry.match(/(?:"[^"]*"|[^;"])+/g) ?? ['']
    const values = parameters.map((parameter) => {
      const [key, ...value] = parameter.split('=')
      return [key.trim().toLowerCase(), value.join('=').trim().replace(/^"|"$/g, '')]
    })
    return { name: name.trim(), dur: undefined, desc: undefined, ...Object.fromEntries(values) }
  })
}

/** The read units of a call, as `Server-Timing` says (`rcu;desc="2.5 read units"`); NaN if it does not. */
export const readUnits = (timings) => parseFloat(timings.find(({ name }) => name === 'rcu')?.desc)

export const projectPath = (project, collection = '', id = '') =>
  `/api/v1/projects/${project}/${collection && `${collection}/`}${id && `${id}/`}`
