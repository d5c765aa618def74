// Requests to the server: the token, the answers that count as successes, and the errors for all others.

import { SyncError } from './errors.js'
import type { Problem } from './errors.js'

export type Fetch = (
  url: string,
  init: { method: string; headers: Record<string, string>; body?: string; signal?: AbortSignal },
) => Promise<HttpResponse>

/** The part of a `Response` that this package uses. */
export interface HttpResponse {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  text(): Promise<string>
}

/** Returns the user's token. `refresh` is true if the server did not accept the last one. */
export type TokenSource = (request: { refresh: boolean }) => string | Promise<string>

/**
 * Renews the token once for all who ask for it at the same time: a refresh token may be good for one use only. A renewal that does
 * not end within a minute has failed, so that it does not hold up everything that comes later.
 */
export function renewedOnce(token: TokenSource): TokenSource {
  let renewal: Promise<string> | undefined
  const renew = (): Promise<string> =>
    new Promise<string>((resolve, reject) => {
      const timer = setTimeout(() => reject(new SyncError('network', 'The app returned no new token within a minute.')), TIMEOUT)
      const renewed = Promise.resolve().then(() => token({ refresh: true }))
      void renewed.then(resolve, reject).finally(() => clearTimeout(timer))
    }).finally(() => (renewal = undefined))
  return ({ refresh }) => (refresh ? (renewal ??= renew()) : token({ refresh }))
}

export interface Answer {
  status: number
  body: unknown
  header(name: string): string | null
}

/** Milliseconds after which a request counts as lost. */
const TIMEOUT = 60_000

export class Http {
  /** Milliseconds by which the server's clock is ahead of the device's; null if that is not known. */
  clockSkew: number | null = null
  readonly #baseUrl: string
  readonly #token: TokenSource
  readonly #fetch: Fetch

  constructor(baseUrl: string, token: TokenSource, fetch: Fetch) {
    this.#baseUrl = baseUrl.replace(/\/+$/, '')
    this.#token = token
    this.#fetch = fetch
  }

  /** Returns a success or throws a `SyncError`. After a 401, it asks for a new token once. */
  async send(method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
    try {
      return await this.#attempt(method, path, headers, body, false)
    } catch (error) {
      if (!(error instanceof SyncError) || error.problem.status !== 401) throw error
      return this.#attempt(method, path, headers, body, true)
    }
  }

  async #attempt(method: string, path: string, headers: Record<string, string>, body: string | undefined, refresh: boolean): Promise<Answer> {
    const token = await this.#token({ refresh })
    const { response, text } = await this.#exchange(`${this.#baseUrl}/api/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json' }), ...headers },
      ...(body && { body }),
    })
    this.#compareClocks(response.headers.get('date'))
    const json = parsed(text)
    if (response.status >= 200 && response.status < 300) {
      if (json === UNREADABLE) throw new SyncError('unreadable_answer', unreadable(text), { status: response.status })
      return { status: response.status, body: json, header: (name) => response.headers.get(name) }
    }
    throw refusal(response, json, this.clockSkew)
  }

  async #exchange(url: string, init: Parameters<Fetch>[1]): Promise<{ response: HttpResponse; text: string }> {
    const abort = typeof AbortController === 'undefined' ? undefined : new AbortController()
    const timer = abort && setTimeout(() => abort.abort(), TIMEOUT)
    try {
      const response = await this.#fetch(url, { ...init, ...(abort && { signal: abort.signal }) })
      return { response, text: response.status === 204 ? '' : await response.text() }
    } catch (error) {
      throw new SyncError('network', `The server was not reached: ${String(error)}`)
    } finally {
      clearTimeout(timer)
    }
  }

  #compareClocks(date: string | null): void {
    const there = date ? Date.parse(date) : NaN
    if (!Number.isNaN(there)) this.clockSkew = there - Date.now()
  }
}

const UNREADABLE = Symbol('unreadable')

function parsed(text: string): unknown {
  if (!text) return null
  try {
    return JSON.parse(text) as unknown
  } catch {
    return UNREADABLE
  }
}

const unreadable = (text: string): string =>
  /^\s*</.test(text)
    ? 'Something other than the server answered with an HTML page. Check baseUrl, and whether a sign-in page or a proxy is in between.'
    : 'The answer of the server was cut off, or it is not JSON.'

function refusal(response: HttpResponse, json: unknown, skew: number | null): SyncError {
  const { status } = response
  const wait = Number(response.headers.get('retry-after'))
  const retryAfter = wait > 0 ? wait : undefined
  const problem = (typeof json === 'object' && json !== null ? json : {}) as Partial<Problem>
  if (typeof problem.code !== 'string') {
    return new SyncError(`http_${status}`, `The server answered ${status} without a description of the problem.`, { status }, retryAfter)
  }
  const clock = status === 401 && skew !== null && Math.abs(skew) > 300_000 ? ` The clock of this device is ${Math.round(skew / 60_000)} minutes off.` : ''
  return new SyncError(problem.code, `${problem.detail ?? ''}${clock}`, { ...problem, status }, retryAfter)
}
