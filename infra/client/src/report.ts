// A JSON document for a bug report. It shows what differs and why, and has nothing that the user wrote unless asked for.

import { checksumsOf } from './checksum.js'
import type { Project } from './project.js'
import type { LiveReport } from './live.js'
import type { Merged, SyncStatus } from './status.js'
import { fieldsOf } from './tables.js'
import type { Fields } from './values.js'

export const VERSION = '0.1.0'

export interface ReportRow {
  table: string
  id: string
  status: string
  changed: string
  server_version: number
  base_version: string | null
  values?: Fields
}

export interface ProjectReport {
  project: string
  mark: number
  status: string
  lastSyncedAt: number | null
  activity: number
  columns: string
  /** By table: the number of rows and two sums over ids and versions, as a pull's `checksum`. */
  checksums: Record<string, [number, number, number]>
  dirty: ReportRow[]
  request: { key: string; operations: string[] } | null
  acks: Record<string, number>
  conflicts: Record<string, string[]>
  parked: Record<string, { code: string; status?: number; fields: string[]; tries: number }>
  insist: Record<string, Record<string, number>>
  givenUp: Record<string, string[]>
  shadow: Record<string, number>
  aside: { table: string; id: string; reason: string; fields: string[] }[]
  broken: string[] | null
  /** By table the version of each row that came from the server, if asked for. */
  rows?: Record<string, Record<string, number>>
}

export interface ReportOptions {
  /** Include what the user wrote into rows that are not synced. */
  content?: boolean
  /** Include the id and version of each row, so that the rows that differ can be named. A row takes about 50 bytes. */
  rows?: boolean
}

export interface Report {
  client: string
  schemaVersion: number
  at: number
  /** Milliseconds by which the server's clock is ahead. */
  clockSkew: number | null
  status: SyncStatus
  /** The latest first. */
  problems: { at: number; project: string | null; code: string; detail: string }[]
  /** The state of the WebSocket; null without the option `live`. */
  live: LiveReport | null
  /** Accepted edits that the server merged with those of others. The latest first. */
  merged: Merged[]
  projects: ProjectReport[]
}

export async function reportOf(project: Project, { content = false, rows = false }: ReportOptions): Promise<ProjectReport> {
  const { state } = project.store // Read it before the rows: they may be newer than the mark, but not older.
  const { database } = project.context
  const dirty = await database.read(() => project.rows.dirty())
  const versions = await project.versions()
  const mapped = <From, To>(map: Record<string, From>, to: (value: From) => To): Record<string, To> =>
    Object.fromEntries(Object.entries(map).map(([key, value]) => [key, to(value)]))
  return {
    project: project.id,
    mark: state.mark,
    status: state.status,
    lastSyncedAt: state.lastSyncedAt,
    activity: state.activity,
    columns: state.columns,
    checksums: checksumsOf(versions),
    dirty: dirty.map(({ table, raw }) => ({
      table: table.name,
      id: raw.id,
      status: raw._status,
      changed: raw._changed,
      server_version: raw.server_version,
      base_version: raw.base_version,
      ...(content && { values: fieldsOf(table, raw) }),
    })),
    request: state.request && {
      key: state.request.key,
      operations: state.request.operations.map(({ method, table, id }) => `${method} ${table}/${id}`),
    },
    acks: mapped(state.acks, ({ v }) => v),
    conflicts: mapped(state.conflicts, ({ fields }) => Object.keys(fields)),
    parked: mapped(state.parked, ({ problem, values, tries }) => ({
      code: problem.code,
      ...(problem.status !== undefined && { status: problem.status }),
      fields: Object.keys(values),
      tries,
    })),
    insist: state.insist,
    givenUp: mapped(state.fetch, Object.keys),
    shadow: state.shadow,
    aside: state.aside.map(({ table, id, reason, values }) => ({ table, id, reason, fields: Object.keys(values) })),
    broken: state.broken,
    ...(rows && { rows: mapped(versions, (of) => Object.fromEntries(of.map(({ id, version }) => [id, version]))) }),
  }
}
