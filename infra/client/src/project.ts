// The sync of one project: finish the pending request, push, pull, compare, and repeat while there is something to send.

import type { Api } from './api.js'
import { settleRows } from './arrival.js'
import { unsentColumns } from './bases.js'
import { checksumsOf } from './checksum.js'
import type { Checksum, RowVersion } from './checksum.js'
import { SyncError } from './errors.js'
import type { Problem } from './errors.js'
import { pull } from './pull.js'
import type { PullContext, Pulled } from './pull.js'
import { forgetNeverSent, wipe } from './removal.js'
import { MAX_OPERATIONS, operationOf, operationsOf, printOf, requestOf, unsendable } from './request.js'
import { Rows } from './rows.js'
import type { Row } from './rows.js'
import { enterResults, mergesOf } from './settle.js'
import type { Merge } from './settle.js'
import { emptyState, Store } from './state.js'
import type { Operation } from './state.js'
import type { Tables } from './tables.js'
import { keyOf } from './values.js'
import type { DatabaseLike, Watermelon } from './watermelon.js'

/** How often one sync may push and pull. */
const MAX_ROUNDS = 12
/** Codes that mean that the user no longer has the project. */
const GONE = ['membership_revoked', 'not_a_member', 'project_deleted']
/** Statuses with which a whole batch is refused because one of its operations is malformed. */
const MALFORMED = [400, 413, 415, 422]

export type Outcome = 'synced' | 'gone' | 'unfinished'

export interface ProjectDeps {
  database: DatabaseLike
  watermelon: Watermelon
  tables: Tables
  api: Api
  newKey: () => string
  changed: () => void
  /** Edits that the server has merged with those of others. */
  merged: (project: string, merges: Merge[]) => void
}

export class Project {
  readonly id: string
  readonly rows: Rows
  readonly store: Store
  /** The progress of a first sync. */
  progress: { rows: number; total: number | null } | null = null
  readonly #deps: ProjectDeps
  readonly #context: PullContext
  #batchSize = MAX_OPERATIONS
  /** The mark at which the rows were last found equal to the server's since the app started. */
  #agreedAt: number | null = null
  #hasRepaired = false

  constructor(id: string, deps: ProjectDeps) {
    this.id = id
    this.#deps = deps
    this.rows = new Rows(deps.database, deps.watermelon, deps.tables, id)
    this.store = new Store(deps.database, id, deps.newKey(), deps.changed)
    const progress = (rows: number, total: number | null): void => {
      this.progress = { rows, total }
      deps.changed()
    }
    this.#context = { ...deps, project: id, rows: this.rows, store: this.store, progress }
  }

  get context(): PullContext {
    return this.#context
  }

  /** Does everything that can be done now; with `anew`, also a repair. Throws the error that keeps it from finishing. */
  async sync(mayRejoin: boolean, anew = false): Promise<Outcome> {
    if (this.store.state.status !== 'live' && !(await this.#return(mayRejoin))) return 'gone'
    try {
      return await this.#rounds(anew)
    } catch (error) {
      if (!(error instanceof SyncError) || !GONE.includes(error.code)) throw error
      await wipe(this.#context, error.code)
      return 'gone'
    } finally {
      this.progress = null
    }
  }

  /** Whether the device is known to equal the server, which is at this version. Then there is nothing to push or pull. */
  async isAt(version: number | undefined): Promise<boolean> {
    const { status, mark, request, acks, fetch } = this.store.state
    // The first pull since the app started compares checksums.
    if (status !== 'live' || version !== mark || this.#agreedAt !== mark) return false
    if (request || Object.keys(acks).length || Object.keys(fetch).length) return false
    const { sendable, dirty } = await this.survey()
    if (sendable.length) return false
    // A pull would settle the rows of which nothing is sent, and may note values to fetch.
    if (dirty) await settleRows(this.#context)
    if (Object.keys(this.store.state.fetch).length) return false
    await this.store.update((draft) => {
      draft.lastSyncedAt = Date.now()
    })
    return true
  }

  async #rounds(anew: boolean): Promise<Outcome> {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      await this.#settle()
      await forgetNeverSent(this.#context)
      await this.#push()
      await (anew && round === 0 ? this.#repair() : this.#pull())
      await forgetNeverSent(this.#context)
      if (!(await this.survey()).sendable.length) {
        await this.store.update((draft) => {
          draft.lastSyncedAt = Date.now()
        })
        return 'synced'
      }
    }
    return 'unfinished'
  }

  /** For a project that the user lost: finishes the wipe. Returns whether to sync, in case the user is a member again. */
  async #return(mayRejoin: boolean): Promise<boolean> {
    const { status, reason } = this.store.state
    const left = await this.#deps.database.read(() => this.rows.byKey())
    if (status === 'leaving' || left.size) await wipe(this.#context, reason ?? 'not_a_member')
    if (!mayRejoin) return false
    await this.store.update((draft) => {
      draft.status = 'live'
    })
    return true
  }

  // ---- push

  /** The operations that can be sent now, the number of rows with unsent edits, and that of rows that WatermelonDB calls dirty. */
  async survey(): Promise<{ sendable: Operation[]; pending: number; dirty: number }> {
    const dirty = await this.#deps.database.read(() => this.rows.dirty())
    await this.#followTyping(dirty)
    await this.#dropSettledRefusals(dirty)
    const { state } = this.store
    const isHeld = (key: string): boolean => !!(state.conflicts[key] ?? state.parked[key])
    const pending = dirty.filter(({ table, raw }) => isHeld(keyOf(table.name, raw.id)) || operationOf(state, table, raw)).length
    const sendable = operationsOf(state, dirty, Date.now()).filter((operation) => !unsendable(operation))
    return { sendable, pending, dirty: dirty.length }
  }

  /** Drops the refusals of rows that have nothing left to send: a pull has brought what the refused operation asked for. */
  async #dropSettledRefusals(dirty: Row[]): Promise<void> {
    const { state } = this.store
    const keys = dirty.filter(({ table, raw }) => !operationOf(state, table, raw)).map(({ table, raw }) => keyOf(table.name, raw.id))
    const settled = keys.filter((key) => state.parked[key])
    if (!settled.length) return
    await this.store.update((draft) => {
      for (const key of settled) delete draft.parked[key]
    })
  }

  /** Updates conflicts to what the user has typed since. A value that only follows from an edit stays as it was sent. */
  async #followTyping(dirty: Row[]): Promise<void> {
    const { state } = this.store
    const typed = dirty.flatMap(({ table, raw }) => {
      const key = keyOf(table.name, raw.id)
      const open = state.conflicts[key]
      if (!open || open.deleting || raw._status === 'deleted') return []
      return unsentColumns(state, table, raw)
        .filter((column) => open.fields[column] && open.fields[column].mine !== (raw[column] ?? null))
        .map((column) => ({ key, column, value: raw[column] ?? null }))
    })
    if (!typed.length) return
    await this.store.update((draft) => {
      for (const { key, column, value } of typed) {
        const held = draft.conflicts[key]?.fields[column]
        if (held) held.mine = value
      }
    })
  }

  async #push(): Promise<void> {
    const dirty = await this.#deps.database.read(() => this.rows.dirty())
    const operations = operationsOf(this.store.state, dirty, Date.now())
    const sendable = await this.#refuseUnsendable(operations)
    const request = requestOf(this.#deps.tables, this.store.state, sendable, this.#batchSize, this.#deps.newKey())
    if (!request) return
    await this.store.update((draft) => {
      draft.request = request
    })
    await this.#settle()
  }

  /** Sends the pending request unchanged, and enters its results in one write. */
  async #settle(): Promise<void> {
    const { request } = this.store.state
    if (!request) return
    try {
      const results = await this.#deps.api.send(this.id, request)
      const merges = mergesOf(this.store.state, request.operations, results)
      await this.store.update((draft) => enterResults(draft, this.#deps.tables, request, results, Date.now()))
      this.#batchSize = MAX_OPERATIONS
      if (merges.length) this.#deps.merged(this.id, merges)
    } catch (error) {
      if (!(error instanceof SyncError) || !isWholeRefusal(error.problem)) throw error
      await this.#enterWholeRefusal(request.operations, error)
    }
  }

  /** Handles the refusal of a whole batch, of which nothing was done. Halving the batch finds the operation that is wrong. */
  async #enterWholeRefusal(operations: Operation[], error: SyncError): Promise<void> {
    const { problem } = error
    const isMalformed = MALFORMED.includes(problem.status ?? 0) && problem.code !== 'idempotency_key_reused'
    const [only, ...others] = operations
    const { tables } = this.#deps
    await this.store.update((draft) => {
      const { request } = draft
      if (request && isMalformed && only && !others.length) enterResults(draft, tables, request, [{ status: 'refused', problem }], Date.now())
      else draft.request = null
    })
    if (!isMalformed) throw error
    this.#batchSize = Math.max(1, Math.floor(operations.length / 2))
  }

  /** Shows operations that can never be sent as refused. Returns the others. */
  async #refuseUnsendable(operations: Operation[]): Promise<Operation[]> {
    const judged = operations.map((operation) => ({ operation, problem: unsendable(operation) }))
    const sendable = judged.flatMap(({ operation, problem }) => (problem ? [] : [operation]))
    if (sendable.length === operations.length) return sendable
    await this.store.update((draft) => {
      for (const { operation, problem } of judged) {
        if (!problem) continue
        const { method, table, id, values = {} } = operation
        draft.parked[keyOf(table, id)] = { print: printOf(operation), activity: draft.activity, problem, method, values, at: Date.now(), tries: 1 }
      }
    })
    return sendable
  }

  // ---- pull

  async #pull(): Promise<void> {
    const pulled = await pull(this.#context)
    this.progress = null
    // Nothing changed since the last comparison, and comparing 50,000 rows takes a second.
    if (pulled.isIdle && pulled.timestamp === this.#agreedAt) return
    const differing = await this.#differing(pulled)
    if (!differing) {
      this.#agreedAt = pulled.checksum ? pulled.timestamp : null
      return this.#noteBroken(null)
    }
    // Repair once, and once more after a restart, when WatermelonDB has read the database anew.
    if (this.store.state.broken && this.#hasRepaired) throw mismatch(differing)
    await this.#repair()
  }

  /** Pulls everything and replaces the rows on the device. */
  async #repair(): Promise<void> {
    this.#agreedAt = null
    this.#hasRepaired = true
    const differing = await this.#differing(await pull(this.#context, true))
    await this.#noteBroken(differing)
    if (differing) throw mismatch(differing)
  }

  async #noteBroken(tables: string[] | null): Promise<void> {
    if (JSON.stringify(this.store.state.broken) === JSON.stringify(tables)) return
    await this.store.update((draft) => {
      draft.broken = tables
    })
  }

  /** The tables that differ from the server's, or null if none does. */
  async #differing({ checksum: expected }: Pulled): Promise<string[] | null> {
    if (!expected) return null
    const sums = await this.checksums()
    const differing = Object.keys(sums).filter((table) => expected[table] && String(sums[table]) !== String(expected[table]))
    return differing.length ? differing : null
  }

  async checksums(): Promise<Record<string, Checksum>> {
    return checksumsOf(await this.versions())
  }

  /** By table: all rows that came from the server, with the version that it last sent of each. */
  async versions(): Promise<Record<string, RowVersion[]>> {
    const { shadow } = this.store.state
    const found: Record<string, RowVersion[]> = {}
    await this.#deps.database.read(async () => {
      for (const table of this.#deps.tables.values()) {
        const counted = (await this.rows.all(table)).filter((raw) => raw._status !== 'created')
        const versions = counted.map(({ id, server_version }) => ({ id, version: Math.max(shadow[keyOf(table.name, id)] ?? 0, server_version) }))
        found[table.name] = versions.filter(({ version }) => version > 0)
      }
    })
    return found
  }
}

/** The number of rows with unsent edits in projects other than those in `known`. Rows without a project do not count. */
export async function pendingElsewhere({ database, watermelon, tables }: ProjectDeps, known: ReadonlyMap<string, unknown>): Promise<number> {
  const dirty = await database.read(() => new Rows(database, watermelon, tables, null).dirty())
  const nothing = emptyState()
  return dirty.filter(({ table, raw }) => {
    const project = raw[table.projectColumn]
    return project && !known.has(String(project)) && operationOf(nothing, table, raw)
  }).length
}

/** Whether the server refused the request as a whole, and would refuse it again. */
function isWholeRefusal({ status = 0, code }: Problem): boolean {
  // Also from a gateway, which words no problem: what is too large today is so tomorrow.
  if (status === 413) return true
  if (code.startsWith('http_') || GONE.includes(code)) return false
  return status >= 400 && status < 500 && ![401, 408, 425, 429].includes(status)
}

const mismatch = (tables: string[]): SyncError =>
  new SyncError('checksum_mismatch', `Rows of ${tables.join(', ')} still differ from the server's after a repair. Send the report to support.`)
