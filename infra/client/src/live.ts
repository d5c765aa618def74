// Word of changes over a WebSocket: which project moved, and to which version. A message carries no data, and may be lost, late
// or repeated. So nothing depends on it: what it leads to is a pull, and polls find what it missed.

import type { TokenSource } from './http.js'
import { askedWait, clock, pauseAfter } from './schedule.js'

/** `live`: changes of others arrive within about a second. `reconnecting`: soon again. `polling`: every few minutes. */
export type LiveState = 'live' | 'reconnecting' | 'polling'

/** For a bug report. */
export interface LiveReport {
  state: LiveState
  /** Attempts in a row that failed. */
  failures: number
  /** Why there is or was no connection the last time; null: there was always one. */
  lastFailure: { at: number; detail: string } | null
}

/** What is used of a `WebSocket`. */
export interface SocketLike {
  onopen: ((event: any) => void) | null
  onmessage: ((event: any) => void) | null
  onerror: ((event: any) => void) | null
  onclose: ((event: any) => void) | null
  send(text: string): void
  close(): void
}

export interface LiveOptions {
  /** The address of the server's WebSocket, `wss://…`. */
  url: string
  /** The class of sockets, where it is not the global `WebSocket`. */
  WebSocket?: new (url: string) => SocketLike
}

/** A project, and a version that it has reached. */
export interface Change {
  project: string
  version: number
}

export interface LiveDeps {
  token: TokenSource
  /** The ids of the projects that there is to watch. */
  projects: () => string[]
  /** A project has reached a version. */
  moved: (change: Change) => void
  /** The server lets the user see these projects no more. */
  refused: (projects: string[]) => void
  /** The state is another one. */
  changed: () => void
}

/** Milliseconds. */
export interface LivePace {
  /** From opening a socket to the server's answer to `watch`. */
  connect: number
  /** Without a word from the server until it is asked whether it is there. A gateway closes a socket after ten idle minutes. */
  ping: number
  /** From that question to the answer. */
  pong: number
  /** The longest pause before the first attempt to connect again; it doubles. */
  retry: number
  /** The longest pause there is. */
  maxRetry: number
  /** So long a connection must have been live to count as a success. */
  steady: number
}

export const LIVE_PACE: LivePace = { connect: 15_000, ping: 240_000, pong: 10_000, retry: 1_000, maxRetry: 60_000, steady: 30_000 }

/** What one connection may watch. */
const MAX_WATCHED = 100
/** After so many attempts in a row that failed, the state is `polling`. It goes on trying. */
const MAX_FAILURES = 5
/** Codes of refusals that another token may help against. */
const isOfToken = (code: string): boolean => code.startsWith('token_') || code === 'unauthenticated'

/** One connection at a time, for as long as it is started, there is a network, the app is in front, and there is something to watch. */
export class Live {
  #socket: SocketLike | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #isStarted = false
  readonly #signals = { network: true, appState: true }
  /** Until then the server asked not to come back. */
  #notBefore = 0
  /** Attempts in a row that failed. */
  #failures = 0
  /** Since when the server answers for what is watched; null: it does not. */
  #liveSince: number | null = null
  /** What the latest `watch` named. */
  #asked = new Set<string>()
  /** What the server refused, as long as it is named. */
  readonly #denied = new Set<string>()
  /** A `watch` has no answer yet. */
  #isAsking = false
  /** That `watch` is not sent yet: its token is still being fetched. */
  #awaitsToken = false
  /** The server refused the latest token. */
  #isTokenRefused = false
  #lastFailure: LiveReport['lastFailure'] = null
  readonly #url: string
  readonly #Socket: LiveOptions['WebSocket']
  readonly #deps: LiveDeps
  readonly #pace: LivePace
  readonly #random: () => number

  constructor({ url, WebSocket }: LiveOptions, deps: LiveDeps, pace: LivePace = LIVE_PACE, random: () => number = Math.random) {
    this.#url = url
    this.#Socket = WebSocket ?? (globalThis as { WebSocket?: LiveOptions['WebSocket'] }).WebSocket
    this.#deps = deps
    this.#pace = pace
    this.#random = random
  }

  get state(): LiveState {
    if (this.#liveSince !== null) return 'live'
    return this.#isWanted() && this.#failures < MAX_FAILURES ? 'reconnecting' : 'polling'
  }

  report(): LiveReport {
    return { state: this.state, failures: this.#failures, lastFailure: this.#lastFailure }
  }

  start(): void {
    this.#isStarted = true
    if (!this.#Socket) this.#noteFailure('There is no global WebSocket. Pass the class as `live.WebSocket`.')
    this.follow()
  }

  stop(): void {
    this.#isStarted = false
    this.follow()
  }

  /** The network or the app's being in front, on or off. */
  signal(name: 'network' | 'appState', isOn: boolean): void {
    this.#signals[name] = isOn
    this.#denied.clear()
    if (!this.#isWanted()) return this.follow()
    // What was open may be open on this side alone.
    if (this.#liveSince !== null) return this.#ping()
    if (this.#socket) return
    this.#failures = 0
    this.#connectIn(0)
    this.#deps.changed()
  }

  /** Connects, watches what came new, or ends the connection, as it fits what there is to watch. */
  follow(): void {
    const named = this.#deps.projects()
    for (const id of this.#denied) if (!named.includes(id)) this.#denied.delete(id)
    if (!this.#isWanted()) {
      const wasThere = this.#socket !== null || this.#timer !== undefined
      this.#drop()
      this.#failures = 0
      if (wasThere) this.#deps.changed()
    } else if (!this.#socket) {
      if (this.#timer === undefined) this.#connectIn(0)
    } else if (this.#liveSince !== null && !this.#isAsking && this.#toWatch().some((id) => !this.#asked.has(id))) {
      void this.#watch(this.#socket)
    }
  }

  #isWanted(): boolean {
    return this.#isStarted && !!this.#Socket && this.#signals.network && this.#signals.appState && this.#toWatch().length > 0
  }

  #toWatch(): string[] {
    return this.#deps.projects().filter((id) => !this.#denied.has(id)).slice(0, MAX_WATCHED)
  }

  #connectIn(pause: number): void {
    this.#in(Math.max(pause, this.#notBefore - clock()), () => this.#connect())
  }

  #connect(): void {
    if (!this.#Socket) return
    // A refusal may have been a passing one. Each connection asks anew.
    this.#denied.clear()
    this.#in(this.#pace.connect, () => this.#lose('The connection was not open in time.'))
    try {
      const socket = new this.#Socket(this.#url)
      this.#socket = socket
      socket.onopen = () => void this.#watch(socket)
      socket.onmessage = ({ data }: { data: unknown }) => this.#hear(socket, data)
      socket.onclose = (event) => this.#lose(closeReasonOf(event))
      socket.onerror = (event) => this.#lose(errorReasonOf(event))
    } catch (error) {
      this.#lose(`The address cannot be used: ${String(error)}`)
    }
  }

  /** Watches what there is to watch, with the token of this moment. */
  async #watch(socket: SocketLike): Promise<void> {
    this.#isAsking = this.#awaitsToken = true
    this.#in(this.#pace.connect, () => this.#lose('The server did not answer the watch in time.'))
    try {
      const token = await this.#deps.token({ refresh: this.#isTokenRefused })
      if (socket !== this.#socket) return
      this.#awaitsToken = false
      const projects = this.#toWatch()
      this.#asked = new Set(projects)
      this.#send({ action: 'watch', token, projects })
    } catch (error) {
      if (socket === this.#socket) this.#lose(`There is no token: ${String(error)}`)
    }
  }

  #send(message: object): void {
    try {
      this.#socket?.send(JSON.stringify(message))
    } catch (error) {
      this.#lose(`The message could not be sent: ${String(error)}`)
    }
  }

  #ping(): void {
    this.#send({ action: 'ping' })
    // Browsers take minutes to close a socket whose other end is gone.
    if (this.#socket) this.#in(this.#pace.pong, () => this.#lose('The server did not answer a ping in time.'))
  }

  #hear(socket: SocketLike, data: unknown): void {
    const message = parsed(data)
    if (Array.isArray(message.watching)) this.#answered(message.watching, message.refused)
    else if (typeof message.code === 'string') this.#refused(message.code, message.detail, askedWait(message.retry_after))
    else if (isChange(message)) this.#deps.moved(message)
    // Any word shows that the server is there.
    if (socket === this.#socket && this.#liveSince !== null && !this.#isAsking) this.#in(this.#pace.ping, () => this.#ping())
  }

  #answered(watching: unknown[], refused: unknown): void {
    this.#isAsking = false
    this.#isTokenRefused = false
    this.#liveSince ??= clock()
    // What moved between two connections.
    watching.filter(isChange).forEach(this.#deps.moved)
    const names = Array.isArray(refused) ? refused.map(String) : []
    for (const name of names) {
      this.#denied.add(name)
      this.#asked.delete(name)
    }
    if (names.length) this.#deps.refused(names)
    this.#deps.changed()
    this.follow()
  }

  /** `asked`: the milliseconds that the server asked to wait. */
  #refused(code: string, detail: unknown, asked: number): void {
    // Each watched project that moves says so of the old token.
    if (isOfToken(code) && this.#awaitsToken) return
    if (isOfToken(code) && !this.#isTokenRefused && this.#socket) {
      this.#isTokenRefused = true
      void this.#watch(this.#socket)
    } else if (this.#isAsking) {
      this.#lose(`The server refused the watch: ${code}: ${String(detail)}`, asked)
    }
  }

  #noteFailure(detail: string): void {
    this.#lastFailure = { at: Date.now(), detail }
  }

  /** The connection is no more, or no use: another one after a pause. */
  #lose(reason: string, asked = 0): void {
    this.#noteFailure(reason)
    const wasSteady = this.#liveSince !== null && clock() - this.#liveSince >= this.#pace.steady
    this.#drop()
    if (wasSteady) this.#failures = 0
    const pause = pauseAfter(this.#failures, this.#pace, this.#random)
    this.#failures += 1
    this.#notBefore = asked ? clock() + asked : 0
    this.#connectIn(asked + pause)
    this.#deps.changed()
  }

  #drop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#liveSince = null
    this.#isAsking = this.#awaitsToken = false
    const socket = this.#socket
    this.#socket = null
    if (!socket) return
    // It may close much later, or never.
    socket.onopen = socket.onmessage = socket.onclose = null
    socket.onerror = () => {}
    try {
      socket.close()
    } catch {
      // It was not open yet.
    }
  }

  /** The one thing that happens next if nothing else does. */
  #in(pause: number, next: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(next, Math.max(0, pause))
  }
}

/** What the platform says of a connection that failed. A browser says nothing. */
function errorReasonOf(event: unknown): string {
  const { message } = (event ?? {}) as { message?: unknown }
  return message ? `The connection failed: ${String(message)}` : 'The connection failed. The platform does not say why: check the URL.'
}

function closeReasonOf(event: unknown): string {
  const { code, reason } = (event ?? {}) as { code?: unknown; reason?: unknown }
  return `The connection was closed, code ${String(code ?? 'unknown')}.${reason ? ` ${String(reason)}` : ''}`
}

function isChange(it: unknown): it is Change {
  const { project, version } = (it ?? {}) as Partial<Change>
  return typeof project === 'string' && Number.isSafeInteger(version)
}

/** A message as an object. What is none says nothing. */
function parsed(data: unknown): Record<string, unknown> {
  try {
    const message: unknown = JSON.parse(String(data))
    return typeof message === 'object' && message !== null ? (message as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
