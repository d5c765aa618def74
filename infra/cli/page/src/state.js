// What the page knows: the project as one user sees it over REST, its versions, the devices.

import { batch, computed, signal } from '@preact/signals'
import { call, problem, projectPath, stack, Unreachable, users } from './api.js'
import { byOutline } from './outline.js'
import { Phone } from './phone.js'

export const project = signal('')
/** Who uses the editor. */
export const actor = signal('olga')
/** The project over REST: `{ project, tasks, dependencies, calendars, memberships }`, or `{ problem }`. */
export const server = signal(null)
/** The versions: see `history.rs`. Null while there is no such project. */
export const history = signal(null)
/** The commits that this stack has seen. */
export const commits = signal([])
export const backup = signal(null)
export const lag = signal(0)
/** The connection to the local stack: '' or what is wrong with it. */
export const outage = signal('')

export const devices = [new Phone('A'), new Phone('B')]

export const tasks = computed(() => [...(server.value?.tasks ?? [])].sort(byOutline))
export const owner = 'olga'

/** Signs in as everyone, and opens the demo project, or the one that the address names. */
export async function start() {
  const { body } = await stack('GET', 'setup')
  users.value = body.users
  lag.value = body.lag_ms
  await open(decodeURIComponent(location.hash.slice(1)) || body.project)
  follow()
}

/** Another project: two new phones for it. */
export async function open(id) {
  project.value = id
  batch(() => {
    server.value = history.value = null
    commits.value = []
  })
  tag = ''
  await look()
  await Promise.all([devices[0].install('mia', id), devices[1].install('sofia', id)])
}

/** Reads the project as the editor's user. */
export async function load() {
  const [user, id] = [actor.value, project.value]
  const own = await call(user, 'GET', projectPath(id))
  const read = { project: own.body }
  if (own.ok) {
    const all = ['tasks', 'dependencies', 'calendars', 'memberships'].map(async (name) => {
      read[name] = await list(user, projectPath(id, name))
    })
    await Promise.all(all)
  }
  if (user !== actor.value || id !== project.value) return
  server.value = own.ok ? read : { problem: own.body, text: problem(own) }
}

async function list(user, path) {
  const rows = []
  for (let next = `${path}?limit=1000`; next; ) {
    const answer = await call(user, 'GET', next)
    if (!answer.ok) break
    rows.push(...answer.body.results)
    next = answer.body.next
  }
  return rows
}

let tag = ''

/** Reads the versions, and when they have moved, the project. */
export async function look() {
  const id = project.value
  const answer = await stack('GET', `projects/${id}/versions`, undefined, tag ? { 'if-none-match': tag } : {})
  if (answer.status === 304 || id !== project.value) return
  tag = answer.headers.get('etag') ?? ''
  batch(() => {
    history.value = answer.body.history
    commits.value = answer.body.commits
    backup.value = answer.body.backup
  })
  await load()
}

const EVERY = 1_000

/** Polls, and reads at once when a device gets a poke. Pokes the devices that are live but have no WebSocket. */
async function follow() {
  for (const { pokes } of devices) pokes.subscribe((number) => number && look().catch(() => {}))
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY))
    if (document.hidden) continue
    try {
      await look()
      outage.value = ''
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error
      outage.value = error.message
      tag = ''
    }
    for (const device of devices) {
      const listens = device.live.value && device.online.value && device.isRunning.value
      if (listens && device.hears.value === 'polling') device.poke(history.value?.current ?? 0)
    }
  }
}

/** Makes a change as the editor's user. Returns '', or the error in a sentence. */
export async function change(method, collection, id, body, base) {
  const path = projectPath(project.value, collection, id)
  const answer = await call(actor.value, method, path, { body, base })
  if (answer.ok) await look()
  return answer.ok ? '' : problem(answer)
}

export async function setLag(milliseconds) {
  await stack('PUT', 'lag', { milliseconds })
  lag.value = milliseconds
}
