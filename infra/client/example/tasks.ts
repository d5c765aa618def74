import type { Database } from '@nozbe/watermelondb'
import type { Task } from './models'

/** WatermelonDB fills in '', 0 and false. A task without a project is never sent. The server refuses one with no name or status, or with 0 days. */
export const addTask = (database: Database, project: string, name: string) => database.write(() =>
  database.get<Task>('tasks').create((task) => {
    task.project = project
    task.name = name
    task.status = 'NOT_STARTED'
    task.duration = 1
  }))

export const rename = (task: Task, name: string) => task.database.write(() =>
  task.update(() => {
    task.name = name
  }))

export const setProgress = (task: Task, percent: number) => task.database.write(() =>
  task.update(() => {
    task.percentComplete = percent
  }))

/** `markAsDeleted`, not `destroyPermanently`: the server has to be told. */
export const removeTask = (task: Task) => task.database.write(() => task.markAsDeleted())
