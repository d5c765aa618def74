// The tables of the app, as a developer writes them for this backend. `?` marks a column that may be null.

import { appSchema, Model, tableSchema } from '@nozbe/watermelondb'

const columns = {
  projects: {
    server_version: 'number',
    name: 'string',
    description: 'string',
    start_date: 'string?',
    calendar: 'string?',
  },
  tasks: {
    server_version: 'number',
    project: 'string',
    name: 'string',
    wbs_path: 'string?',
    duration: 'number',
    percent_complete: 'number',
    notes: 'string',
    planned_start: 'string?',
    status: 'string',
    is_milestone: 'boolean',
    assignee: 'string?',
    optimistic_duration: 'number?',
    most_likely_duration: 'number?',
    pessimistic_duration: 'number?',
  },
  dependencies: {
    server_version: 'number',
    project: 'string',
    predecessor: 'string',
    successor: 'string',
    dep_type: 'string',
    lag: 'number',
  },
  calendars: {
    server_version: 'number',
    project: 'string',
    name: 'string',
    working_days: 'number',
    hours_per_day: 'number',
    timezone: 'string',
    exceptions: 'string', // JSON
  },
  memberships: {
    server_version: 'number',
    project: 'string',
    user: 'string',
    role: 'number',
  },
}

const column = ([name, type]) => ({ name, type: type.replace('?', ''), isOptional: type.endsWith('?') })

export const tables = Object.keys(columns)

/** A table as WatermelonDB wants it, for a schema or a migration; with `only` these columns of it. */
export const table = (name, only = Object.keys(columns[name])) => {
  const chosen = Object.entries(columns[name]).filter(([column]) => only.includes(column))
  return { name, columns: chosen.map(column) }
}

/** An app with these tables. */
export const appOf = (version, tables, migrations) => ({
  schema: appSchema({ version, tables: tables.map(tableSchema) }),
  modelClasses: tables.map(
    ({ name }) =>
      class extends Model {
        static table = name
      },
  ),
  migrations,
})

export const app = appOf(
  1,
  tables.map((name) => table(name)),
)

export const schema = app.schema
