// Notifications over a WebSocket: which project changed, and to which version. A message carries no data, and may be lost, late
// or repeated. So nothing depends on it: a message only leads to a pull, and polls find what was missed.

import type { TokenSource } from './http.js'
import { askedWait, clock, pauseAfter } from './schedule.js'

/**
 * `live`: changes of others arrive within about a second. `reconnecting`: the connection is being restored. `polling`: changes
 * arrive every few minutes.
 */
export type LiveState = 'live' | 'reconnecting' | 'polling'

/** The state of the connection, for a bug report. */
export interface LiveReport {
  state: LiveState
  /** Attempts in a row that failed. */
  failures: number
  /** The latest failure and its reason; null if there was none. */
  lastFailure: { at: number; detail: string } | null
}

/** The part of a `WebSocket` that this package uses. */
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
  /** The class to use instead of the global `WebSocket`. */
  WebSocket?: new (url: string) => SocketLike
}

/** A project, and a version that it has reached. */
export interface Change {
  project: string
  version: number
}

export interface LiveDeps {
  token: TokenSource
  /** The ids of the projects to watch. */
  projects: () => string[]
  /** A project has reached a version. */
  moved: (change: Change) => void
  /** The server refused these projects, because the user may not see them. */
  refused: (projects: string[]) => void
  /** The state may have changed. */
  changed: () => void
}

/** Durations in milliseconds. */
export interface LivePace {
  /** How long a socket may take to open, and then how long the server may take to answer `watch`. */
  connect: number
  /** How long the server may be silent before it is pinged. A gateway closes a socket after ten idle minutes. */
  ping: number
  /** How long the server may take to answer a ping. */
  pong: number
  /** The longest pause before the first attempt to reconnect. It doubles with each failure. */
  retry: number
  /** The longest pause before any attempt. */
  maxRetry: number
  /** How long a connection must have been live to reset the count of failures. */
  steady: number
}

export const LIVE_PACE: LivePace = { connect: 15_000, ping: 240_000, pong: 10_000, retry: 1_000, maxRetry: 60_000, steady: 30_000 }

/** The maximum number of projects on one connection. */
const MAX_WATCHED = 100
/** After this many failed attempts in a row, the state is `polling`. The attempts go on. */
const MAX_FAILURES = 5
/** Whether a new token may help after a refusal with this code. */
const isOfToken = (code: string): boolean => code.startsWith('token_') || code === 'unauthenticated'

/** One connection at a time. It needs a call of `start`, a network, an app in the foreground, and a project to watch. */
export class Live {
  #socket: SocketLike | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #isStarted = false
  readonly #signals = { network: true, appState: true }
  /** The time before which the server asked not to reconnect. */
  #notBefore = 0
  /** Attempts in a row that failed. */
  #failures = 0
  /** The time since which the server confirms the watch; null if it does not. */
  #liveSince: number | null = null
  /** The projects that the latest `watch` named. */
  #asked = new Set<string>()
  /** The projects that the server refused, as long as the app names them. */
  readonly #denied = new Set<string>()
  /** Whether a `watch` has no answer yet. */
  #isAsking = false
  /** Whether that `watch` is not sent yet, because its token is still being fetched. */
  #awaitsToken = false
  /** Whether the server refused the latest token. */
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

  /** Notes whether there is a network, or whether the app is in the foreground. */
  signal(name: 'network' | 'appState', isOn: boolean): void {
    this.#signals[name] = isOn
    this.#denied.clear()
    if (!this.#isWanted()) return this.follow()
    // The connection may be open on this side only.
    if (this.#liveSince !== null) return this.#ping()
    if (this.#socket) return
    this.#failures = 0
    this.#connectIn(0)
    this.#deps.changed()
  }

  /** Opens the connection, watches new projects, or closes the connection, depending on the projects to watch. */
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

  /** Asks for a token and watches the current projects. */
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
      if (socket === this.#socket) this.#lose(`The app could not get a token: ${String(error)}`)
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
    // Any message shows that the server is there.
    if (socket === this.#socket && this.#liveSince !== null && !this.#isAsking) this.#in(this.#pace.ping, () => this.#ping())
  }

  #answered(watching: unknown[], refused: unknown): void {
    this.#isAsking = false
    this.#isTokenRefused = false
    this.#liveSince ??= clock()
    // Projects may have changed while there was no connection.
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

  /** Gives up the connection, and opens another one after a pause. */
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

  /** Sets the only timer. An earlier one is cancelled. */
  #in(pause: number, next: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(next, Math.max(0, pause))
  }
}

/** The platform's reason for a failed connection. Browsers give none. */
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

/** A message as an object, which is empty if the message is not an object. */
function parsed(data: unknown): Record<string, unknown> {
  try {
    const message: unknown = JSON.parse(String(data))
    return typeof message === 'object' && message !== null ? (message as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
