// TruePPM sync: what a pull answers, and WatermelonDB's schema for it. Copy this file into the app.
// Made by `cargo run -p trueppm -- typescript`.

import { appSchema, tableSchema } from '@nozbe/watermelondb'

/** What a member may do; each role may all that the ones below it may. */
export const Role = { Viewer: 1, Member: 100, Scheduler: 200, Admin: 300, Owner: 400 } as const
export type Role = (typeof Role)[keyof typeof Role]

/** A row of projects, as a device gets it. */
export type Project = {
  id: string
  /** The value that the project's counter took when the row was last written. */
  server_version: number
  /** Name of the project. */
  name: string
  /** Description of the project. */
  description: string
  /** Start date of the project. */
  start_date: string
  /** Id of the project's calendar, one of its own. */
  calendar: string | null
}

/** A row of tasks, as a device gets it. */
export type Task = {
  id: string
  /** The value that the project's counter took when the row was last written. */
  server_version: number
  project: string
  /** Name of the task. */
  name: string
  /** Position in the outline (work breakdown structure), such as 1.2.3. */
  wbs_path: string | null
  /** Working days. 0 exactly if `is_milestone` is true. */
  duration: number
  /** Progress in percent. */
  percent_complete: number
  /** Free text. */
  notes: string
  /** Planned start date. */
  planned_start: string | null
  /** Status of the work. */
  status: 'BACKLOG' | 'NOT_STARTED' | 'IN_PROGRESS' | 'REVIEW' | 'COMPLETE' | 'ON_HOLD'
  /** True exactly if `duration` is 0. */
  is_milestone: boolean
  /** User id of the assignee, who must be a member when the task is assigned. */
  assignee: string | null
  /** Working days at best. Not above `most_likely_duration`. */
  optimistic_duration: number | null
  /** Working days, most likely. */
  most_likely_duration: number | null
  /** Working days at worst. Not below `most_likely_duration`. */
  pessimistic_duration: number | null
}

/** A row of dependencies, as a device gets it. */
export type Dependency = {
  id: string
  /** The value that the project's counter took when the row was last written. */
  server_version: number
  project: string
  /** Id of the task that comes first: a live task of the project. */
  predecessor: string
  /** Id of the task that waits: another live task of the project. */
  successor: string
  /** From finish or start of the predecessor to start or finish of the successor. */
  dep_type: 'FS' | 'SS' | 'FF' | 'SF'
  /** Working days between the two tasks. */
  lag: number
}

/** A row of calendars, as a device gets it. */
export type Calendar = {
  id: string
  /** The value that the project's counter took when the row was last written. */
  server_version: number
  project: string
  /** Name of the calendar. */
  name: string
  /** Working days as bits: Monday 1, Tuesday 2, Wednesday 4, … Sunday 64. */
  working_days: number
  /** Working hours of a working day, with at most two decimals. */
  hours_per_day: number
  /** Name from the IANA time zone database, spelled as there. */
  timezone: string
  /** Days without regular working hours, such as holidays. JSON of `CalendarException[]`. */
  exceptions: string
}

/** A row of memberships, as a device gets it. */
export type Membership = {
  id: string
  /** The value that the project's counter took when the row was last written. */
  server_version: number
  project: string
  /** User id: the `sub` of the member's token. Immutable. */
  user: string
  /** Role: 1 Viewer, 100 Member, 200 Scheduler, 300 Admin, 400 Owner. */
  role: Role
}

/** An element of a calendar's `exceptions`. */
export type CalendarException = { start: string; end: string; description: string }

/** The rows of each table. */
export type Rows = {
  projects: Project
  tasks: Task
  dependencies: Dependency
  calendars: Calendar
  memberships: Membership
}

/** What a pull brings of one table. New rows come in `updated`, too. */
export type TableChanges<Row> = { created: never[]; updated: Row[]; deleted: string[] }

/** The answer to a pull: `changes` and `timestamp` are what `pullChanges` returns. */
export type SyncResponse = {
  changes: { [Table in keyof Rows]: TableChanges<Rows[Table]> }
  /** The version that this is complete up to: the next `since`. */
  timestamp: number
  /** The answer was cut to fit: ask again at once. */
  has_more?: true
  /** What the device holds now, if it does hold exactly what the server does: number of rows and two sums over them. */
  checksum?: { [Table in keyof Rows]: [number, number, number] }
}

/** Any answer that is no success (RFC 9457). */
export type Problem = {
  type: string
  title: string
  status: number
  detail: string
  code: ProblemCode
  /** What is wrong with which field. */
  errors?: { field: string; message: string }[]
  /** Which operation of a batch is refused, from 0. */
  operation?: number
  /** How much of what fits into a batch. */
  limit?: { rows?: number; bytes?: number }
  /** The tasks on a cycle, in its order. */
  tasks?: string[]
  /** The dependency that is there. */
  id?: string
  /** The row as it is now, as REST shows it. */
  current?: { [field: string]: unknown }
  /** The fields that someone else changed, and both values of each. */
  conflict_fields?: string[]
  server_value?: { [field: string]: unknown }
  client_value?: { [field: string]: unknown }
  server_version?: number
}

export type ProblemCode =
  | 'batch_too_large'
  | 'body_too_large'
  | 'busy'
  | 'calendar_in_use'
  | 'dependency_cycle'
  | 'duplicate_dependency'
  | 'id_deleted'
  | 'id_taken'
  | 'idempotency_key_reused'
  | 'internal_error'
  | 'invalid_parameter'
  | 'keys_unavailable'
  | 'last_owner'
  | 'malformed_json'
  | 'membership_revoked'
  | 'method_not_allowed'
  | 'min_version_ahead_of_server'
  | 'no_such_route'
  | 'not_a_member'
  | 'not_found'
  | 'not_proven'
  | 'outcome_unknown'
  | 'project_deleted'
  | 'quota_exceeded'
  | 'rate_limited'
  | 'resync_required'
  | 'role_too_low'
  | 'since_ahead_of_server'
  | 'sync_conflict'
  | 'token_expired'
  | 'token_invalid'
  | 'token_missing'
  | 'unavailable'
  | 'unsupported_media_type'
  | 'validation_failed'
  | 'version_mismatch'

/** The five tables. An app that adds a column or a table raises `version`. */
export const schema = appSchema({
  version: 1,
  tables: [
    tableSchema({
      name: 'projects',
      columns: [
        { name: 'server_version', type: 'number' },
        { name: 'name', type: 'string' },
        { name: 'description', type: 'string' },
        { name: 'start_date', type: 'string' },
        { name: 'calendar', type: 'string', isOptional: true },
      ],
    }),
    tableSchema({
      name: 'tasks',
      columns: [
        { name: 'server_version', type: 'number' },
        { name: 'project', type: 'string' },
        { name: 'name', type: 'string' },
        { name: 'wbs_path', type: 'string', isOptional: true },
        { name: 'duration', type: 'number' },
        { name: 'percent_complete', type: 'number' },
        { name: 'notes', type: 'string' },
        { name: 'planned_start', type: 'string', isOptional: true },
        { name: 'status', type: 'string' },
        { name: 'is_milestone', type: 'boolean' },
        { name: 'assignee', type: 'string', isOptional: true },
        { name: 'optimistic_duration', type: 'number', isOptional: true },
        { name: 'most_likely_duration', type: 'number', isOptional: true },
        { name: 'pessimistic_duration', type: 'number', isOptional: true },
      ],
    }),
    tableSchema({
      name: 'dependencies',
      columns: [
        { name: 'server_version', type: 'number' },
        { name: 'project', type: 'string' },
        { name: 'predecessor', type: 'string' },
        { name: 'successor', type: 'string' },
        { name: 'dep_type', type: 'string' },
        { name: 'lag', type: 'number' },
      ],
    }),
    tableSchema({
      name: 'calendars',
      columns: [
        { name: 'server_version', type: 'number' },
        { name: 'project', type: 'string' },
        { name: 'name', type: 'string' },
        { name: 'working_days', type: 'number' },
        { name: 'hours_per_day', type: 'number' },
        { name: 'timezone', type: 'string' },
        { name: 'exceptions', type: 'string' },
      ],
    }),
    tableSchema({
      name: 'memberships',
      columns: [
        { name: 'server_version', type: 'number' },
        { name: 'project', type: 'string' },
        { name: 'user', type: 'string' },
        { name: 'role', type: 'number' },
      ],
    }),
  ],
})
