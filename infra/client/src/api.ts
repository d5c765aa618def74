// The routes that are used, and the check that an answer has the shape it must have.

import { SyncError } from './errors.js'
import type { Problem } from './errors.js'
import type { Answer, Http } from './http.js'
import { baseHeaders } from './request.js'
import type { Result } from './settle.js'
import type { Operation, PendingRequest } from './state.js'
import { fromRest } from './tables.js'
import type { Table, Tables } from './tables.js'
import type { Checksum } from './checksum.js'
import type { RemoteRow } from './values.js'

/** One page of a pull. */
export interface Page {
  updated: Map<Table, RemoteRow[]>
  deleted: Map<Table, string[]>
  timestamp: number
  hasMore: boolean
  checksum: Record<string, Checksum> | null
  /** With `hasMore`: the number of rows on a complete device, if the server sends it. */
  total: number | null
}

type Json = Record<string, unknown>

export class Api {
  readonly #http: Http
  readonly #tables: Tables

  constructor(http: Http, tables: Tables) {
    this.#http = http
    this.#tables = tables
  }

  /** The ids of the caller's projects. */
  async projects(): Promise<string[]> {
    const ids: string[] = []
    let next: string | null = 'projects/?limit=1000'
    while (next) {
      const { body }: Answer = await this.#http.send('GET', next)
      const { results, next: further } = object(body)
      for (const row of array(results)) ids.push(String(object(row).id))
      next = typeof further === 'string' ? further.replace(/^.*\/api\/v1\//, '') : null
    }
    return ids
  }

  /** The current versions of the caller's projects, or null if the server has no such route. */
  async heads(): Promise<Map<string, number> | null> {
    const versions = new Map<string, number>()
    let cursor = ''
    try {
      for (;;) {
        const { body } = await this.#http.send('GET', `heads/?limit=1000${cursor}`)
        const { heads, next } = object(body)
        for (const head of array(heads).map(object)) versions.set(String(head.project), Number(head.version))
        if (typeof next !== 'string') return versions
        cursor = `&cursor=${encodeURIComponent(next)}`
      }
    } catch (error) {
      if (error instanceof SyncError && error.problem.status === 404) return null
      throw error
    }
  }

  async page(project: string, since: number, minVersion: number): Promise<Page> {
    const least = minVersion ? `&min_version=${minVersion}` : ''
    const { body } = await this.#http.send('GET', `${path(project)}sync/?since=${since}${least}`)
    const answer = object(body)
    const changes = object(answer.changes)
    if (!Number.isSafeInteger(answer.timestamp) || Number(answer.timestamp) <= 0) throw misshapen('has no timestamp')
    const page: Page = {
      updated: new Map(),
      deleted: new Map(),
      timestamp: Number(answer.timestamp),
      hasMore: answer.has_more === true,
      checksum: (answer.checksum as Record<string, Checksum> | undefined) ?? null,
      total: answer.row_counts === undefined ? null : this.#total(object(answer.row_counts)),
    }
    for (const table of this.#tables.values()) {
      const { updated = [], deleted = [] } = object(changes[table.name] ?? {})
      page.updated.set(table, array(updated).map((row) => remoteRow(table, object(row))))
      page.deleted.set(table, array(deleted).map(String))
    }
    return page
  }

  /** The number of rows in the tables that this app has. */
  #total(counts: Json): number {
    return [...this.#tables.keys()].reduce((total, table) => total + (Number(counts[table]) || 0), 0)
  }

  /** A row as it is now, or null if it is not there. */
  async row(project: string, table: Table, id: string): Promise<RemoteRow | null> {
    const at = table.name === 'projects' ? path(project) : `${path(project)}${table.name}/${id}/`
    try {
      const row = object((await this.#http.send('GET', at)).body)
      const fields = table.columns.map((column) => [column, fromRest(table.name, column, row[column])] as const)
      const place = table.projectColumn === 'project' ? { project } : {}
      return { id, server_version: Number(row.server_version), ...place, ...Object.fromEntries(fields) }
    } catch (error) {
      if (error instanceof SyncError && error.problem.status === 404) return null
      throw error
    }
  }

  /** Sends a request, for the first time or again. Returns one result for each operation. */
  async send(project: string, request: PendingRequest): Promise<Result[]> {
    const [first] = request.operations
    if (!request.batch && first) return [await this.#single(project, request, first)]
    const headers = { 'Idempotency-Key': request.key }
    const { body } = await this.#http.send('POST', `${path(project)}batch/`, headers, request.text)
    const results = array(object(body).results)
    if (results.length !== request.operations.length) throw misshapen('does not have one result for each operation')
    return Promise.all(results.map((result, index) => this.#result(project, request.operations[index], object(result))))
  }

  async #result(project: string, operation: Operation | undefined, { status, server_version, merged_fields, problem }: Json): Promise<Result> {
    if (status === 0) return { status: 'not attempted' }
    if (typeof status !== 'number') throw misshapen('has a result without a status')
    if (status < 300) return { status: 'accepted', version: Number(server_version ?? 0), merged: merged_fields === undefined ? [] : array(merged_fields).map(String) }
    const refused = { ...object(problem), status } as unknown as Problem
    return { status: 'refused', problem: operation ? await this.#whole(project, operation, refused) : refused }
  }

  /** Adds the row's present values to a conflict, if the server left them out of a long answer. */
  async #whole(project: string, { table, id }: Operation, problem: Problem): Promise<Problem> {
    const known = this.#tables.get(table)
    if (problem.shortened !== true || problem.code !== 'sync_conflict' || !known) return problem
    const row = await this.row(project, known, id)
    return row ? { ...problem, server_value: row, server_version: row.server_version } : problem
  }

  async #single(project: string, { key, text }: PendingRequest, operation: Operation): Promise<Result> {
    const { method, table, id } = operation
    const own = table === 'projects' ? '' : `${table}/${method === 'POST' ? '' : `${id}/`}`
    const headers = { 'Idempotency-Key': key, ...baseHeaders(operation) }
    try {
      const answer = await this.#http.send(method, `${path(project)}${own}`, headers, text || undefined)
      const row = answer.body === null ? {} : object(answer.body)
      const merged = (answer.header('x-merged-concurrent-fields') ?? '').split(', ').filter(Boolean)
      return { status: 'accepted', version: Number(row.server_version ?? answer.header('x-server-version') ?? 0), merged }
    } catch (error) {
      if (error instanceof SyncError && isRefusalOfOne(error.problem)) return { status: 'refused', problem: error.problem }
      throw error
    }
  }
}

/** Whether the refusal of a single request is about its operation, and not about the caller, the project or the load. */
function isRefusalOfOne({ status = 0, code }: Problem): boolean {
  if (code.startsWith('http_') || [401, 408, 410, 425, 429].includes(status)) return false
  return status >= 400 && status < 500 && code !== 'not_a_member' && code !== 'membership_revoked'
}

const path = (project: string): string => `projects/${encodeURIComponent(project)}/`

const misshapen = (what: string): SyncError =>
  new SyncError('unreadable_answer', `The answer ${what}. Check baseUrl, and whether the app matches the version of the server.`)

function object(json: unknown): Json {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw misshapen('is not what the server sends')
  return json as Json
}

function array(json: unknown): unknown[] {
  if (!Array.isArray(json)) throw misshapen('is not what the server sends')
  return json
}

/** The row with the columns that are synced. */
function remoteRow(table: Table, row: Json): RemoteRow {
  if (typeof row.id !== 'string' || !Number.isSafeInteger(row.server_version)) throw misshapen(`has a row of ${table.name} without id or version`)
  const missing = table.columns.filter((column) => row[column] === undefined)
  if (missing.length) {
    throw new SyncError('schema_mismatch', `The server sends no ${missing.join(', ')} for ${table.name}: it is older than the app, or the column was renamed.`)
  }
  const kept = ['id', 'server_version', ...(table.projectColumn === 'project' ? ['project'] : []), ...table.columns]
  return Object.fromEntries(kept.map((column) => [column, row[column]])) as RemoteRow
}
