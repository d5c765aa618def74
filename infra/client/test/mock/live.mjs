// The mock server's WebSocket, on a port: tells who watches a project that it moved.

import { once } from 'node:events'
import { WebSocket, WebSocketServer } from 'ws'

export class MockLive {
  /** The messages of the clients, in their order. */
  heard = []
  /** How many connections were made. */
  connections = 0
  /** Whether a poke is lost. */
  loses = () => false
  /** Whether a token is refused. */
  refusesToken = () => false
  /** While set, nothing that comes is answered. */
  isDead = false

  static async start(server) {
    const live = new MockLive()
    live.server = server
    live.sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
    await once(live.sockets, 'listening')
    live.sockets.on('connection', (socket) => {
      live.connections += 1
      socket.watched = []
      socket.on('message', (data) => live.#answer(socket, JSON.parse(data)))
    })
    return live
  }

  /** What the package takes as `live`. */
  get options() {
    return { url: `ws://127.0.0.1:${this.sockets.address().port}/live`, WebSocket }
  }

  #answer(socket, message) {
    this.heard.push(message)
    if (this.isDead) return
    const say = (answer) => socket.send(JSON.stringify(answer))
    if (message.action === 'ping') return say({ pong: true })
    const { token, projects } = message
    if (this.refusesToken(token)) return say({ code: 'token_expired', detail: 'The token has expired.' })
    const sees = (id) => !!this.server.projects.get(id)?.live('memberships', `${id}-${token.split('#')[0]}`)
    socket.watched = projects.filter(sees)
    say({ watching: socket.watched.map((project) => ({ project, version: this.#version(project) })), refused: projects.filter((id) => !sees(id)) })
  }

  #version(project) {
    return this.server.projects.get(project).counter
  }

  /** A poke for everybody who watches the project. */
  poke(project, version = this.#version(project)) {
    for (const socket of this.sockets.clients) {
      if (socket.watched.includes(project) && !this.loses()) socket.send(JSON.stringify({ project, version }))
    }
  }

  /** Ends all connections. */
  hangUp() {
    for (const socket of this.sockets.clients) socket.terminate()
  }

  stop() {
    this.hangUp()
    this.sockets.close()
  }
}
