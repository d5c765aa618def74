// What the types of infra/api/trueppm.ts say, held against WatermelonDB's own: `npm test` compiles this before anything runs.

import type { AppSchema } from '@nozbe/watermelondb'
import type { SyncPullResult } from '@nozbe/watermelondb/sync'
import { Role, schema } from '../../infra/api/trueppm'
import type { Calendar, CalendarException, Membership, Problem, Project, SyncResponse, Task } from '../../infra/api/trueppm'

export const theSchemaIsOne: AppSchema = schema

/** The answer to a pull is what `pullChanges` returns. */
export const anAnswerIsAResult = ({ changes, timestamp }: SyncResponse): SyncPullResult => ({ changes, timestamp })

export const createdIsAlwaysEmpty = ({ changes }: SyncResponse, task: Task): void => {
  changes.tasks.updated.push(task)
  // @ts-expect-error
  changes.tasks.created.push(task)
}

export const aNullableColumnMayBeNull = (task: Task): string => {
  // @ts-expect-error
  const assignee: string = task.assignee
  const name: string = task.name
  return assignee + name
}

export const aColumnIsKnownByItsName = (project: Project): unknown => {
  // @ts-expect-error: projects are not in a project
  const inProject = project.project
  return [inProject, project.start_date.length]
}

export const exceptionsAreJsonText = (calendar: Calendar): CalendarException[] => {
  // @ts-expect-error
  const exceptions: CalendarException[] = calendar.exceptions
  return exceptions ?? JSON.parse(calendar.exceptions)
}

export const aChoiceHasItsValuesAndNoOther = (task: Task, membership: Membership): boolean => {
  // @ts-expect-error
  const done = task.status === 'DONE'
  return done || (task.status === 'COMPLETE' && membership.role === Role.Owner)
}

export const aProblemIsKnownByItsCode = (problem: Problem): string[] => {
  // @ts-expect-error
  if (problem.code === 'no_such_code') return []
  return problem.code === 'sync_conflict' ? (problem.conflict_fields ?? []) : []
}
