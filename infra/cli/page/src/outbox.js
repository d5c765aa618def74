// What a device has changed and not sent yet. WatermelonDB holds what the server said, the outbox what the user did:
// the app shows the one through the other.

import { newKey } from './api.js'

/**
 * A change in the outbox: `{ key, method, table, id, body, base, state }`. `base` is the version of the row that the user saw.
 * States: waiting, sending, sent (until a pull brings it), conflict and refused (until the user decides), both with `problem`.
 */
const entry = (method, id, body, base) => ({ key: newKey(), method, table: 'tasks', id, body, base, state: 'waiting' })

/** The outbox with one more change. Another change of the same row that still waits becomes one with it. */
export function added(outbox, method, id, body, base) {
  const before = outbox.find((other) => other.id === id && other.state === 'waiting')
  if (before && method === 'DELETE') {
    const others = outbox.filter((other) => other !== before)
    // Made and deleted on the device: nobody else ever hears of it.
    return before.method === 'POST' ? others : [...others, entry('DELETE', id)]
  }
  if (before && method === 'PATCH') {
    return outbox.map((other) => (other === before ? { ...other, body: { ...other.body, ...body } } : other))
  }
  return [...outbox, entry(method, id, body, method === 'PATCH' ? base : undefined)]
}

export const changed = (outbox, { key }, change) =>
  outbox.map((entry) => (entry.key === key ? { ...entry, ...change } : entry))

export const without = (outbox, { key }) => outbox.filter((entry) => entry.key !== key)

/** The user insists: the same change again, now of the row as the conflict shows it. */
export const insisted = (outbox, entry) =>
  changed(outbox, entry, { key: newKey(), base: entry.problem.server_version, state: 'waiting', problem: undefined })

/** The tasks as the user sees them: each with `pending`, the state of its change that is not in the database yet. */
export function shown(tasks, outbox) {
  const rows = new Map(tasks.map((task) => [task.id, task]))
  for (const { method, id, body, state } of outbox) {
    if (state === 'refused') continue
    if (method === 'DELETE') rows.delete(id)
    else if (method === 'POST') rows.set(id, { ...blank, ...rows.get(id), ...body, id, pending: state })
    else if (rows.has(id)) rows.set(id, { ...rows.get(id), ...body, pending: state })
  }
  return [...rows.values()].sort(byOutline)
}

const blank = { percent_complete: 0, status: 'NOT_STARTED', duration: 1, wbs_path: null, server_version: 0 }

/** 1.2 before 1.10; without a path last; then by name. */
export const byOutline = (one, other) =>
  (one.wbs_path === null) - (other.wbs_path === null) ||
  compare.compare(one.wbs_path ?? '', other.wbs_path ?? '') ||
  compare.compare(one.name, other.name) ||
  (one.id < other.id ? -1 : 1)

const compare = new Intl.Collator('en', { numeric: true })
