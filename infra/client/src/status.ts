// The status that the app is given: of each project, and of all together.

import type { Problem } from './errors.js'
import type { LiveState } from './live.js'
import type { Project } from './project.js'
import type { Merge } from './settle.js'
import type { Aside } from './state.js'
import { splitKey } from './values.js'
import type { Fields, Value } from './values.js'

export type SyncState = 'offline' | 'error' | 'syncing' | 'synced'

export interface ProjectStatus {
  /** `gone`: the user is no longer a member, or the project was deleted. Its rows are gone from the device, too. */
  state: SyncState | 'gone'
  /** Rows with edits that the server has not accepted: waiting, refused or in conflict. */
  pending: number
  /** When the device last equalled the server, in milliseconds since 1970; null if it never did. */
  lastSyncedAt: number | null
  /** During a first sync: the rows stored so far, and the total if the server sends it. Do not show a plan until it is null. */
  progress: { rows: number; total: number | null } | null
  /** Why the state is `error`, `offline` or `gone`. */
  problem: Problem | null
}

export interface SyncStatus extends Omit<ProjectStatus, 'state' | 'progress'> {
  state: SyncState
  /** How the device learns of changes by others: at once, or by polling. */
  live: LiveState
  projects: Record<string, ProjectStatus>
}

/** A field that the user and somebody else changed; or, with `field: null`, a deletion of a row that somebody else changed. */
export interface Conflict {
  project: string
  table: string
  id: string
  field: string | null
  /** The user's value; null for a deletion. */
  mine: Value
  /** The server's value; for a deletion, the values of all fields that were changed. */
  theirs: Value | Fields
  /** The version of the row on the server. */
  version: number
}

/** An accepted edit of a row in which others changed `fields` meanwhile. The user need not decide anything. */
export interface Merged extends Merge {
  project: string
  at: number
}

/** An edit that the server refused. */
export interface Rejected {
  project: string
  table: string
  id: string
  method: 'POST' | 'PATCH' | 'DELETE'
  /** The values that the edit sets. */
  values: Fields
  /** The server's reason. */
  problem: Problem
  at: number
}

/** Unsent edits of a row that is gone, or of a project that is gone. */
export interface AsideEdit extends Omit<Aside, 'restoring'> {
  project: string
}

export function conflictsOf({ id: project, store }: Project): Conflict[] {
  return Object.entries(store.state.conflicts).flatMap(([key, { deleting, version, fields }]): Conflict[] => {
    const [table, id] = splitKey(key)
    const row = { project, table, id }
    if (!deleting) return Object.entries(fields).map(([field, { mine, theirs, version }]) => ({ ...row, field, mine, theirs, version }))
    const theirs = Object.fromEntries(Object.entries(fields).map(([field, { theirs }]) => [field, theirs]))
    return [{ ...row, field: null, mine: null, theirs, version }]
  })
}

export function rejectedOf({ id: project, store }: Project): Rejected[] {
  return Object.entries(store.state.parked).map(([key, { method, values, problem, at }]) => {
    const [table, id] = splitKey(key)
    return { project, table, id, method, values, problem, at }
  })
}

export function asideOf({ id: project, store }: Project): AsideEdit[] {
  return store.state.aside.map(({ restoring: _, ...entry }) => ({ project, ...entry }))
}

/** The part of the status that belongs to no single project. */
export interface Common {
  problem: Problem | null
  live: LiveState
  /** Whether the projects to sync are known. */
  isListed: boolean
  /** The number of rows with unsent edits in projects that nobody has named yet. */
  elsewhere: number
}

/** The status of all projects together. Its state is the one that needs attention first. */
export function overall(projects: Record<string, ProjectStatus>, { problem, live, isListed, elsewhere }: Common): SyncStatus {
  const all = Object.values(projects).filter(({ state }) => state !== 'gone')
  const has = (state: SyncState): ProjectStatus | undefined => all.find((project) => project.state === state)
  const worst = has('syncing') ?? has('error') ?? has('offline')
  const rest = worst?.state ?? (all.length || isListed ? 'synced' : 'offline')
  const synced = all.map(({ lastSyncedAt }) => lastSyncedAt)
  return {
    state: problem && rest !== 'syncing' ? stateOf(problem) : (rest as SyncState),
    pending: all.reduce((sum, { pending }) => sum + pending, elsewhere),
    lastSyncedAt: synced.includes(null) || !synced.length ? null : Math.min(...synced.map(Number)),
    problem: problem ?? worst?.problem ?? null,
    live,
    projects,
  }
}

export const stateOf = ({ code }: Problem): SyncState => (code === 'network' ? 'offline' : 'error')

