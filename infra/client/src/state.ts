// The state of a project beyond its rows: one JSON document in the database's local storage, always written as a whole.

import { SyncError } from './errors.js'
import type { Problem } from './errors.js'
import { copied } from './values.js'
import type { Fields, Value } from './values.js'
import type { DatabaseLike } from './watermelon.js'

/** One change of one row, as it was built from the row. */
export interface Operation {
  method: 'POST' | 'PATCH' | 'DELETE'
  table: string
  id: string
  /** The values as the row holds them. */
  values?: Fields
  base_version?: number
  base_fields?: Record<string, number>
  /** What the user typed into a row that was deleted before the server confirmed it. */
  typed?: Fields
}

/** A request that was sent, or is about to be, and has no answer yet. It is sent again with the same key and text. */
export interface PendingRequest {
  key: string
  /** Whether it is a batch. Otherwise it is a single request for the one operation. */
  batch: boolean
  text: string
  operations: Operation[]
}

/** The edits of a row that the server has accepted and that no pull has brought back yet. */
export interface Ack {
  /** The row's version when it was accepted. */
  v: number
  fields: Record<string, { value: Value; v: number }>
  deleted?: true
  /** Whether the server never had the row, because it was deleted before it was sent. */
  never?: true
}

/** A refused operation. It waits until the edit or the project changes. */
export interface Parked {
  print: string
  /** The project's activity before the request that was refused. */
  activity: number
  problem: Problem
  method: Operation['method']
  values: Fields
  at: number
  tries: number
}

/** Fields of a row that the user and somebody else changed; or a deletion of a row that somebody else changed. */
export interface HeldConflict {
  deleting: boolean
  version: number
  fields: Record<string, { mine: Value; theirs: Value; version: number }>
}

/** Unsent edits of a row that is gone. */
export interface Aside {
  key: string
  table: string
  id: string
  /** Whether the row itself had never been sent. */
  created: boolean
  /** The unsent edits. */
  values: Fields
  /** All fields of the row, with the edits. */
  row: Fields
  reason: string
  at: number
  /** The new row and its project, while it is being restored. */
  restoring?: { id: string; into: string }
}

export interface ProjectState {
  /** The number of writes of this state. Together with `writer`, it shows that another instance uses the same database. */
  revision: number
  /** The instance that wrote it. */
  writer: string
  /** The version up to which the device is complete; 0 before the first pull. */
  mark: number
  /** The synced columns at the last pull. */
  columns: string
  /** Those of a first sync of which some pages have come; '' before and afterwards. */
  columnsOfPages: string
  request: PendingRequest | null
  acks: Record<string, Ack>
  parked: Record<string, Parked>
  conflicts: Record<string, HeldConflict>
  /** By row and column: the version at which the user chose "mine". */
  insist: Record<string, Record<string, number>>
  /** By row and column: the value that the user gave up. `*` is a deletion, with the row's version. */
  fetch: Record<string, Record<string, Value>>
  /** The server's versions of rows that are deleted on the device and not on the server. */
  shadow: Record<string, number>
  aside: Aside[]
  /** Increases when an operation of this device is accepted, and when a pull brings somebody else's change. */
  activity: number
  status: 'live' | 'leaving' | 'gone'
  /** Why the project is gone. */
  reason: string | null
  /** The tables that still differed from the server's after a repair. */
  broken: string[] | null
  lastSyncedAt: number | null
}

export const emptyState = (): ProjectState => ({
  revision: 0,
  writer: '',
  mark: 0,
  columns: '',
  columnsOfPages: '',
  request: null,
  acks: {},
  parked: {},
  conflicts: {},
  insist: {},
  fetch: {},
  shadow: {},
  aside: [],
  activity: 0,
  status: 'live',
  reason: null,
  broken: null,
  lastSyncedAt: null,
})

const INDEX = 'trueppm:projects'
const stateKey = (project: string): string => `trueppm:project:${project}`

/** The projects that have a state in this database. */
export async function knownProjects(database: DatabaseLike): Promise<string[]> {
  return ((await database.localStorage.get(INDEX as never)) as string[] | undefined) ?? []
}

/** Call it before a project's state is first written. A name without a state does no harm; a state without a name is lost. */
export async function rememberProject(database: DatabaseLike, project: string): Promise<void> {
  const known = await knownProjects(database)
  if (!known.includes(project)) await database.localStorage.set(INDEX as never, [...known, project])
}

/** The state of one project. The memory has only what was written, so a failed write changes nothing. */
export class Store {
  #state = emptyState()
  #turn: Promise<unknown> = Promise.resolve()
  readonly #database: DatabaseLike
  readonly #key: string
  readonly #writer: string
  readonly #changed: () => void

  /** `writer` names this instance: a random text. */
  constructor(database: DatabaseLike, project: string, writer: string, changed: () => void) {
    this.#database = database
    this.#key = stateKey(project)
    this.#writer = writer
    this.#changed = changed
  }

  get state(): Readonly<ProjectState> {
    return this.#state
  }

  async load(): Promise<void> {
    this.#state = { ...emptyState(), ...(await this.#stored()) }
  }

  /** Changes the state and writes it. Updates run one after the other. */
  update(change: (draft: ProjectState) => void): Promise<void> {
    const done = this.#turn.then(() => this.#write(change))
    this.#turn = done.catch(() => {})
    return done
  }

  async #write(change: (draft: ProjectState) => void): Promise<void> {
    const stored = await this.#stored()
    // A write that was reported as failed may have taken effect.
    if (stored?.writer === this.#writer) this.#state = { ...emptyState(), ...stored }
    // Two that read the same revision write the same number: only the writer tells whose it is.
    const { revision = 0, writer = '' } = stored ?? {}
    if (revision !== this.#state.revision || writer !== this.#state.writer) {
      throw new SyncError('two_instances', 'Another instance syncs this database. Open the database only once, and restart the app.')
    }
    const draft = copied(this.#state)
    change(draft)
    draft.revision += 1
    draft.writer = this.#writer
    try {
      await this.#database.localStorage.set(this.#key as never, draft)
    } catch (error) {
      throw new SyncError('storage_failed', `The device could not store the state of the sync: ${String(error)}`)
    }
    this.#state = draft
    this.#changed()
  }

  #stored(): Promise<Partial<ProjectState> | undefined> {
    return this.#database.localStorage.get(this.#key as never) as Promise<Partial<ProjectState> | undefined>
  }
}
