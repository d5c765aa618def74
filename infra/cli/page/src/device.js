// A phone: a database, the plain client code around it, and an outbox.

import { computed, signal } from '@preact/signals'
import { synchronize } from '@nozbe/watermelondb/sync'
import { call, problem, projectPath, readUnits, timings, Unreachable } from './api.js'
import { disagreeing, markOf, newDatabase, rowsOf, tables } from './database.js'
import { added, changed, insisted, shown, without } from './outbox.js'

const none = Object.fromEntries(tables.map((table) => [table, []]))

/** The server refused a pull. */
class Refused extends Error {
  constructor(answer) {
    super(problem(answer))
    this.code = answer.body?.code
  }
}

export class Device {
  online = signal(true)
  live = signal(false)
  busy = signal(false)
  user = signal('')
  mark = signal(0)
  rows = signal(none)
  outbox = signal([])
  /** The last pull: see `#pull`. */
  last = signal(null)
  /** Whether the checksum agrees: 'agrees', 'unknown', or the tables that differ. */
  agreement = signal('unknown')
  /** The message to the user of the phone. */
  notice = signal('')
  tasks = computed(() => shown(this.rows.value.tasks, this.outbox.value))
  size = computed(() => tables.reduce((sum, table) => sum + this.rows.value[table].length, 0))
  #turn = Promise.resolve()

  constructor(name) {
    this.name = name
  }

  /** A new phone for a user and a project. */
  install(user, project) {
    return this.#exclusive(() => {
      this.project = project
      this.user.value = user
      this.outbox.value = []
      this.last.value = null
      this.notice.value = ''
      return this.#forget()
    })
  }

  #forget() {
    this.database = newDatabase(`${this.project}-${this.name}`)
    this.agreement.value = 'unknown'
    return this.#refresh()
  }

  async #refresh() {
    this.rows.value = await rowsOf(this.database)
    this.mark.value = await markOf(this.database)
  }

  /** Runs actions one after the other, because WatermelonDB does not sync twice at once. */
  #exclusive(action) {
    const turn = this.#turn.then(async () => {
      this.busy.value = true
      try {
        return await action()
      } finally {
        this.busy.value = false
      }
    })
    this.#turn = turn.catch(() => {})
    return turn
  }

  setOnline(online) {
    this.online.value = online
    return online ? this.sync() : undefined
  }

  /**
   * Sends the outbox, then pulls. With `anew`, a full sync replaces the phone's data. Resolves to false if the phone is offline
   * or was refused.
   */
  sync({ anew = false } = {}) {
    return this.#exclusive(async () => {
      if (!this.online.value) return false
      try {
        const minVersion = await this.#send()
        await this.#pull(minVersion, anew)
        return true
      } catch (error) {
        if (!(error instanceof Refused || error instanceof Unreachable)) throw error
        await this.#refused(error)
        return false
      }
    })
  }

  /** Adds a change by the user to the outbox. `body` has fields of a task. */
  edit(method, id, body) {
    const row = this.rows.value.tasks.find((task) => task.id === id)
    this.outbox.value = added(this.outbox.value, method, id, body, row?.server_version)
    return this.online.value ? this.sync() : undefined
  }

  keepMine(entry) {
    this.outbox.value = insisted(this.outbox.value, entry)
    return this.sync()
  }

  discard(entry) {
    this.outbox.value = without(this.outbox.value, entry)
  }

  /** Sends waiting changes one by one. Returns the version that a pull must include to have all of them. */
  async #send() {
    let reached = 0
    const set = (entry, change) => (this.outbox.value = changed(this.outbox.value, entry, change))
    for (const { key } of this.outbox.value.filter(({ state }) => state === 'waiting')) {
      const entry = this.outbox.value.find((other) => other.key === key)
      if (!this.online.value) break
      set(entry, { state: 'sending' })
      const { method, table, id, body, base } = entry
      const path = projectPath(this.project, table, method === 'POST' ? '' : id)
      let answer
      try {
        answer = await call(this.user.value, method, path, { body: method === 'POST' ? { id, ...body } : body, base, key })
      } finally {
        // Under its idempotency key it is safe to repeat, even if it took effect.
        if (!answer || answer.status === 503) set(entry, { state: 'waiting' })
      }
      if (answer.status === 503) break
      if (!answer.ok) {
        const state = answer.body?.code === 'sync_conflict' ? 'conflict' : 'refused'
        set(entry, { state, problem: { ...answer.body, text: problem(answer) } })
        continue
      }
      set(entry, { state: 'sent' })
      reached = Math.max(reached, Number(answer.headers.get('x-server-version')) || 0)
      const merged = answer.headers.get('x-merged-concurrent-fields')
      if (merged) this.notice.value = `Merged with other changes to ${merged.split(',').join(', ')}.`
      const version = Number(answer.headers.get('etag')?.replaceAll('"', ''))
      // Later changes to the same row are based on this version now.
      this.outbox.value = this.outbox.value.map((other) =>
        other.id === id && other.state === 'waiting' && other.base ? { ...other, base: version } : other,
      )
    }
    return reached
  }

  /** The `syncProject` of infra/docs/app-quickstart.md, which also records requests and responses. */
  async #pull(minVersion, anew) {
    const pull = { pages: [], rows: 0, deleted: 0, bytes: 0, transferred: 0, ms: 0, units: 0, timings: [] }
    const ask = async (since) => {
      const least = minVersion ? `&min_version=${minVersion}` : ''
      const path = `${projectPath(this.project)}sync/?since=${since}${least}`
      performance.clearResourceTimings()
      const answer = await call(this.user.value, 'GET', path)
      this.#note(pull, path, answer)
      return answer
    }
    let hasMore, answered
    do {
      await synchronize({
        database: this.database,
        sendCreatedAsUpdated: true,
        pullChanges: async ({ lastPulledAt }) => {
          let answer = await ask(anew ? 0 : (lastPulledAt ?? 0))
          let experimentalStrategy = anew ? 'replacement' : undefined
          if (answer.body?.code === 'resync_required') {
            answer = await ask(0)
            experimentalStrategy = 'replacement'
            this.notice.value = 'The server was restored from a backup. The device made a full sync.'
          }
          anew = false
          if (!answer.ok) throw new Refused(answer)
          answered = answer.body
          const { changes, timestamp, has_more } = answered
          hasMore = has_more === true
          return { changes, timestamp, experimentalStrategy }
        },
      })
    } while (hasMore)
    this.outbox.value = this.outbox.value.filter(({ state }) => state !== 'sent')
    await this.#refresh()
    this.#compare(answered.checksum)
  }

  #compare(expected) {
    if (!expected) {
      this.agreement.value = 'unknown'
      return
    }
    const tables = disagreeing(this.rows.value, expected)
    this.agreement.value = tables.length ? tables : 'agrees'
  }

  #note(pull, path, answer) {
    const changes = Object.values(answer.body?.changes ?? {})
    const said = timings(answer.headers.get('server-timing'))
    pull.pages.push({
      request: { method: 'GET', path, headers: { Authorization: `Bearer <token of ${this.user.value}>` } },
      response: { status: answer.status, headers: Object.fromEntries(answer.headers), body: answer.body },
    })
    const entry = performance.getEntriesByType('resource').findLast(({ name }) => name.endsWith(path))
    pull.rows += changes.reduce((sum, { updated }) => sum + updated.length, 0)
    pull.deleted += changes.reduce((sum, { deleted }) => sum + deleted.length, 0)
    pull.bytes += new Blob([answer.text]).size
    pull.transferred += entry?.encodedBodySize || new Blob([answer.text]).size
    pull.ms += answer.ms
    pull.units += readUnits(said)
    pull.timings = said
    pull.way = said.find(({ name }) => name === 'pull')?.desc ?? `${answer.status} ${answer.body?.code ?? ''}`
    this.last.value = { ...pull }
  }

  async #refused({ code, message }) {
    this.notice.value = message
    this.agreement.value = 'unknown'
    // What infra/docs/protocol.md tells an app to do.
    if (code === 'membership_revoked' || code === 'not_a_member') {
      this.outbox.value = []
      await this.#forget()
      this.notice.value = `${this.user.value} is not a member of this project (${code}). Its data was deleted from the device.`
    }
    if (code === 'since_ahead_of_server') {
      await this.#forget()
      this.notice.value = 'This is another server. The database was reset. Pull again.'
    }
  }
}
