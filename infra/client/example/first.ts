import { Q } from '@nozbe/watermelondb'
import type { Task } from './models'
import { database, PROJECT, sync } from './store'
import { addTask } from './tasks'

/** Starts the sync, and logs each status. */
export function startSync() {
  sync.status$.subscribe(({ state, pending }) => console.log(state, pending))
  sync.start()
}

/** Adds a task, and logs the names of all tasks. */
export async function addAndList() {
  await addTask(database, PROJECT, 'My first task')
  const tasks = await database.get<Task>('tasks').query(Q.where('project', PROJECT)).fetch()
  console.log(tasks.map(({ name }) => name).join(', '))
}
