// What the app is told: of each project, and of all.

import type { Problem } from './errors.js'
import type { LiveState } from './live.js'
import type { Project } from './project.js'
import type { Merge } from './settle.js'
import type { Aside } from './state.js'
import { splitKey } from './values.js'
import type { Fields, Value } from './values.js'

export type SyncState = 'offline' | 'error' | 'syncing' | 'synced'

export interface ProjectStatus {
  /** `gone`: the user is no member any more, or the project was deleted. Its rows are, too. */
  state: SyncState | 'gone'
  /** Rows with edits that the server has not accepted: waiting, refused or in conflict. */
  pending: number
  /** When the device last held what the server does, in milliseconds; null: never yet. */
  lastSyncedAt: number | null
  /** During the first sync: the rows stored so far, and of how many if the server says so. Show no plan before it is null. */
  progress: { rows: number; total: number | null } | null
  /** Why it is `error`, `offline` or `gone`. */
  problem: Problem | null
}

export interface SyncStatus extends Omit<ProjectStatus, 'state' | 'progress'> {
  state: SyncState
  /** How the device hears of changes of others: at once, or by polls. */
  live: LiveState
  projects: Record<string, ProjectStatus>
}

/** One field that somebody else changed, too; or, with `field: null`, a deletion of a row that somebody else changed. */
export interface Conflict {
  project: string
  table: string
  id: string
  field: string | null
  /** The user's value; null for a deletion. */
  mine: Value
  /** The server's value; of a deletion, those of all fields that were changed. */
  theirs: Value | Fields
  /** The version of the row on the server. */
  version: number
}

/** An accepted edit of a row of which `fields` have changed meanwhile, in edits of others. Nothing has to be decided. */
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
  /** What the edit sets. */
  values: Fields
  /** The server's reason. */
  problem: Problem
  at: number
}

/** Unsent edits of a row that is gone, or whose project is. */
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

/** What is told of no single project. */
export interface Common {
  problem: Problem | null
  live: LiveState
  /** Whether it is known which projects there are to sync. */
  isListed: boolean
  /** Rows with unsent edits of projects that nobody has named yet. */
  elsewhere: number
}

/** The states of all projects as one: what needs attention first. */
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

