// The example app and the code that the pages for app developers show, against the local stack: the files themselves, with a
// React Native that only remembers what it was given.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, mock, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { appSchema, Database, tableSchema } from '@nozbe/watermelondb'
import SQLiteAdapter from '@nozbe/watermelondb/adapters/sqlite/index.js'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import logger from '@nozbe/watermelondb/utils/common/logger/index.js'
import { baseUrl, Project, request, Role, tokenFor } from '../../../../tests/client/server.mjs'

const at = (path) => fileURLToPath(new URL(path, import.meta.url))
const require = createRequire(import.meta.url)

const complaints = []
logger.default.log = () => {}
logger.default.warn = logger.default.error = (...message) => complaints.push(message.join(' '))

const home = mkdtempSync(join(tmpdir(), 'example-'))
after(() => {
  rmSync(home, { recursive: true, force: true })
  assert.deepEqual(complaints, [])
})

/** What the app uses of React Native: buttons are collected, and the platform's listeners can be called. */
const native = `
  import { createElement, Fragment } from 'react'
  export const buttons = []
  export const listeners = { app: new Set(), network: new Set() }
  const listen = (to, listener) => (listeners[to].add(listener), () => void listeners[to].delete(listener))
  export const AppState = { addEventListener: (_, listener) => ({ remove: listen('app', listener) }) }
  export const Platform = { select: (choices) => choices.default }
  export const TextInput = ({ defaultValue }) => createElement('input', { defaultValue })
  export const View = ({ children }) => createElement('div', null, children)
  export const Text = View
  export const FlatList = ({ data, renderItem }) => data.map((item) => createElement(Fragment, { key: item.id }, renderItem({ item })))
  export const Button = ({ title, onPress }) => (buttons.push({ title, onPress }), createElement('button', null, title))
  export default { addEventListener: (listener) => listen('network', listener) }
`
const modules = {
  '@trueppm/sync': at('../../src/index.ts'),
  '@trueppm/sync/react': at('../../src/react.ts'),
}

async function bundled() {
  const outfile = at('../../build/example.cjs')
  const names = ['App.tsx', 'database.ts', 'first.ts', 'labels.ts', 'models.ts', 'platform.ts', 'Questions.tsx', 'store.ts', 'sync.ts', 'tasks.ts']
  const exported = names.map((name) => `export * from './${name}'`)
  exported.push("export * from '../../docs/code/adopt.js'", "export * from '../../docs/code/server-wins.js'", "export * as web from '../../docs/code/platform-web.js'", "export * from './trueppm'")
  const contents = [...exported, "export { default as App } from './App.tsx'", "export { buttons, listeners } from 'react-native'", "export { SyncError, withBaseVersion } from '@trueppm/sync'"]
  await build({
    stdin: { contents: contents.join('\n'), resolveDir: at('../../example') },
    outfile, bundle: true, format: 'cjs', platform: 'node', packages: 'external', jsx: 'automatic', logLevel: 'error',
    // The example's own tsconfig cannot be used, because it also names its React Native.
    tsconfigRaw: { compilerOptions: { experimentalDecorators: true, useDefineForClassFields: false } },
    plugins: [{
      name: 'app',
      setup(build) {
        build.onResolve({ filter: /^(react-native|@react-native-community\/netinfo)$/ }, () => ({ path: 'native', namespace: 'native' }))
        build.onResolve({ filter: /^@trueppm\/sync/ }, ({ path }) => ({ path: modules[path] }))
        build.onLoad({ filter: /.*/, namespace: 'native' }, () => ({ contents: native, loader: 'js', resolveDir: at('../..') }))
      },
    }],
  })
  process.chdir(home)
  return require(outfile)
}

const app = await bundled()
const { createElement } = require('react')
const { renderToString } = require('react-dom/server')

afterEach(() => mock.restoreAll())

/** A phone with the example on it, of a member of the project. Without a network on request. */
class Phone {
  constructor(project, { user = project.owner, name = `${Math.random()}` } = {}) {
    Object.assign(this, { project, user, name })
    this.open()
  }

  open() {
    this.database = app.openDatabase(join(home, `${this.name}.db`))
    this.sync = app.openSync(this.database, { baseUrl, token: () => tokenFor(this.user) })
  }

  /** Closes and reopens the app, which loses what it had in memory. */
  async reopen() {
    await this.sync.stop()
    this.open()
  }

  now() {
    return this.sync.now()
  }

  async task(id) {
    return (await this.database.get('tasks').query().fetch()).find((task) => task.id === id)
  }

  add(name) {
    return app.addTask(this.database, this.project.id, name)
  }

  async edit(id, fields) {
    const task = await this.task(id)
    await this.database.write(() => task.update(() => Object.assign(task, fields)))
  }
}

async function furnished() {
  const project = await Project.create()
  const task = await project.addTask('Dig', { duration: 3 })
  return { project, task, onServer: async () => (await project.list('tasks')).find(({ id }) => id === task.id) }
}

/** Waits for what comes by itself. */
async function until(what, condition) {
  for (const end = Date.now() + 60_000; Date.now() < end; await pause(10)) if (condition()) return
  assert.fail(`${what}: not within a minute`)
}

const offline = () => mock.method(globalThis, 'fetch', async () => Promise.reject(new TypeError('Network request failed')))

test('a first sync fills the database, and the app is told that it is complete', async () => {
  const { project, task } = await furnished()
  const phone = new Phone(project)
  const { state, projects, pending } = await phone.now()
  assert.deepEqual([state, pending, app.isComplete(projects[project.id])], ['synced', 0, true])
  assert.equal((await phone.task(task.id)).name, 'Dig')
  assert.equal(app.lineFor(phone.sync.status$.value), 'Everything is on the server.')
})

test('edits made offline survive the end of the app, and are sent when there is a network again', async () => {
  const { project, task, onServer } = await furnished()
  const old = await project.addTask('Old')
  const phone = new Phone(project)
  await phone.now()

  offline()
  const made = await phone.add('Made on the train')
  await app.setProgress(await phone.task(task.id), 40)
  await app.removeTask(await phone.task(old.id))
  const { state, pending } = await phone.now()
  assert.deepEqual([state, pending], ['offline', 3])
  assert.equal(app.lineFor(phone.sync.status$.value), 'Offline. 3 edits wait.')
  await phone.reopen()
  assert.equal((await phone.now()).pending, 3)

  mock.restoreAll()
  const after = await phone.now()
  assert.deepEqual([after.state, after.pending, phone.sync.rejected$.value], ['synced', 0, []])
  const names = (await project.list('tasks')).map(({ name }) => name)
  assert.deepEqual(names.sort(), ['Dig', 'Made on the train'])
  assert.equal((await onServer()).percent_complete, 40)
  assert.equal((await phone.task(made.id)).status, 'NOT_STARTED')
})

test('several projects live in one database, and each row goes to its own', async () => {
  const { project } = await furnished()
  const other = new Project((await (await request(tokenFor(project.owner), '/api/v1/projects/', { method: 'POST', body: { name: 'Other', start_date: '2025-03-03' } })).json()).id, project.owner)
  const phone = new Phone(project)
  await phone.now()
  await app.addTask(phone.database, other.id, 'Elsewhere')
  await phone.now()
  assert.deepEqual(Object.keys(phone.sync.status$.value.projects).sort(), [project.id, other.id].sort())
  assert.deepEqual((await other.list('tasks')).map(({ name }) => name), ['Elsewhere'])
  assert.deepEqual((await project.list('tasks')).map(({ name }) => name), ['Dig'])
})

/** The questions that the app shows, and its buttons. */
function questions(sync) {
  app.buttons.length = 0
  const text = renderToString(createElement(app.Questions, { sync }))
  return { text, press: async (title) => app.buttons.find((button) => button.title === title).onPress() }
}

for (const [button, expected] of [['Keep mine', 'Mine'], ['Take theirs', 'Theirs']]) {
  test(`a conflict is shown with both values, and "${button}" settles it`, async () => {
    const { project, task, onServer } = await furnished()
    const phone = new Phone(project)
    await phone.now()
    await phone.edit(task.id, { notes: 'Mine' })
    await project.change('tasks', task.id, { notes: 'Theirs' })
    assert.equal((await phone.now()).pending, 1)
    const { text, press } = questions(phone.sync)
    assert.match(text.replaceAll('<!-- -->', ''), /notes: you wrote Mine, somebody else wrote Theirs\./)
    await press(button)
    assert.equal((await phone.now()).pending, 0)
    assert.equal((await onServer()).notes, expected)
    assert.equal((await phone.task(task.id)).notes, expected)
  })
}

test('an edit that the server refuses waits with its reason, and can be discarded', async () => {
  const { project, task } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  await app.setProgress(await phone.task(task.id), 200)
  assert.equal((await phone.now()).pending, 1)
  const { text, press } = questions(phone.sync)
  assert.match(text, /Not accepted/)
  await press('Discard my edit')
  assert.equal((await phone.now()).pending, 0)
  assert.equal((await phone.task(task.id)).percentComplete, 0)
})

test('edits of a row that somebody deleted are set aside, and come back as a new row', async () => {
  const { project, task } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  await phone.edit(task.id, { notes: 'Long notes' })
  await project.remove('tasks', task.id)
  await phone.now()
  assert.equal(await phone.task(task.id), undefined)
  const { text, press } = questions(phone.sync)
  assert.match(text.replaceAll('<!-- -->', ''), /Dig is gone. You had changed notes\./)
  await press('Add it again')
  await phone.now()
  assert.deepEqual((await project.list('tasks')).map(({ name, notes }) => [name, notes]), [['Dig', 'Long notes']])
})

test('a member who was removed keeps unsent edits, and the project is gone', async () => {
  const { project } = await furnished()
  const { id, user } = await project.addMember(Role.scheduler)
  const phone = new Phone(project, { user })
  await phone.now()
  offline()
  await phone.add('Unsent')
  mock.restoreAll()
  await project.remove('memberships', id)
  const { projects } = await phone.now()
  assert.equal(projects[project.id].state, 'gone')
  assert.equal(await phone.database.get('tasks').query().fetchCount(), 0)
  assert.deepEqual(phone.sync.aside$.value.map(({ values }) => values.name), ['Unsent'])
})

test('once started, the app syncs when the network is back and when it comes to the foreground', async () => {
  const { project, task } = await furnished()
  const phone = new Phone(project)
  const reached = (name) =>
    new Promise((resolve) => {
      const query = phone.database.get('tasks').query()
      const subscription = query.observeWithColumns(['name']).subscribe((tasks) => {
        if (!tasks.some((task) => task.name === name)) return
        resolve()
        setTimeout(() => subscription.unsubscribe())
      })
    })
  phone.sync.start()
  await reached('Dig')
  await phone.now()
  await project.change('tasks', task.id, { name: 'After the tunnel' })
  for (const listener of app.listeners.network) listener({ isConnected: true })
  await reached('After the tunnel')
  await phone.now()
  await project.change('tasks', task.id, { name: 'After lunch' })
  for (const listener of app.listeners.app) listener('active')
  await reached('After lunch')
  await phone.sync.stop()
  assert.deepEqual([app.listeners.network.size, app.listeners.app.size], [0, 0])
})

test('the app can be drawn before anything was synced', () => {
  assert.match(renderToString(createElement(app.App)), /Not synced yet\./)
})

test('without a screen: a first edit is listed, and sent when the server is reached', async () => {
  const { owner } = await Project.create()
  await request(tokenFor(owner), '/api/v1/projects/', { method: 'POST', body: { id: app.PROJECT, name: 'Demo', start_date: '2026-03-02' } })
  const logged = []
  mock.method(console, 'log', (...words) => logged.push(words.join(' ')))
  const { fetch } = globalThis
  let hasNetwork = false
  // The address and the token of the test's server in the place of those in store.ts.
  mock.method(globalThis, 'fetch', async (url, init) => {
    if (!hasNetwork) throw new TypeError('Network request failed')
    return fetch(url.replace('http://127.0.0.1:8080', baseUrl), { ...init, headers: { ...init.headers, Authorization: `Bearer ${tokenFor(owner)}` } })
  })
  app.startSync()
  await app.addAndList()
  await until('offline', () => logged.includes('offline 1'))
  assert.deepEqual(logged.filter((line) => /task/.test(line)), ['My first task'])
  hasNetwork = true
  await app.sync.now()
  await until('synced', () => logged.at(-1) === 'synced 0')
  await app.sync.stop()
  mock.restoreAll()
  assert.deepEqual((await new Project(app.PROJECT, owner).list('tasks')).map(({ name }) => name), ['My first task'])
})

test('a name that is changed arrives', async () => {
  const { project, task } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  await app.rename(await phone.task(task.id), 'Dig deep')
  await phone.now()
  assert.deepEqual((await project.list('tasks')).map(({ name }) => name), ['Dig deep'])
})

// ---- The examples of infra/docs/conflicts.md: what the device does, what somebody else does, what both have afterwards.

const merged = {
  'two fields of one task are changed: both changes stay': {
    device: (phone, task) => phone.edit(task.id, { name: 'Dig deep' }),
    other: (project, task) => project.change('tasks', task.id, { notes: 'Wet' }),
    expected: { name: 'Dig deep', notes: 'Wet' },
  },
  'the same value twice is no conflict': {
    device: (phone, task) => phone.edit(task.id, { percentComplete: 50 }),
    other: (project, task) => project.change('tasks', task.id, { percent_complete: 50 }),
    expected: { percent_complete: 50 },
  },
  'three changes of one field are one request with the last value': {
    device: async (phone, task) => {
      for (const name of ['One', 'Two', 'Three']) await phone.edit(task.id, { name })
    },
    expected: { name: 'Three' },
    changes: 1,
  },
  'a deletion of what nobody changed deletes': { device: async (phone, task) => app.removeTask(await phone.task(task.id)), expected: undefined },
  'a deletion of what somebody deleted is done': {
    device: async (phone, task) => app.removeTask(await phone.task(task.id)),
    other: (project, task) => project.remove('tasks', task.id),
    expected: undefined,
  },
  'a row that is added and deleted again is nothing': {
    device: async (phone) => app.removeTask(await phone.add('Never mind')),
    expected: { name: 'Dig' },
    rows: 1,
  },
}

for (const [name, { device, other, expected, changes, rows }] of Object.entries(merged)) {
  test(`merged without asking: ${name}`, async () => {
    const { project, task, onServer } = await furnished()
    const phone = new Phone(project)
    await phone.now()
    await device(phone, task)
    await other?.(project, task)
    const version = (await onServer())?.server_version
    const { state, pending } = await phone.now()
    assert.deepEqual([state, pending], ['synced', 0])
    const held = [phone.sync.conflicts$, phone.sync.rejected$, phone.sync.aside$].map(({ value }) => value.length)
    assert.deepEqual(held, [0, 0, 0])
    const row = await onServer()
    if (changes) assert.equal(row.server_version, version + changes)
    if (rows) assert.equal((await project.list('tasks')).length, rows)
    const local = (await phone.task(task.id))?._raw
    if (expected) for (const [field, value] of Object.entries(expected)) assert.deepEqual([row[field], local[field]], [value, value])
    else assert.deepEqual([row, local], [undefined, undefined])
  })
}

for (const [choice, isThere] of [['mine', false], ['theirs', true]]) {
  test(`asked: a deletion of a row that somebody changed, and "${choice}" settles it`, async () => {
    const { project, task, onServer } = await furnished()
    const phone = new Phone(project)
    await phone.now()
    await app.removeTask(await phone.task(task.id))
    await project.change('tasks', task.id, { notes: 'Important' })
    await phone.now()
    const [conflict] = phone.sync.conflicts$.value
    assert.deepEqual([conflict.field, conflict.mine, conflict.theirs], [null, null, { notes: 'Important' }])
    assert.equal(await phone.task(task.id), undefined)
    await phone.sync.resolve(conflict, choice)
    assert.equal((await phone.now()).pending, 0)
    assert.deepEqual([!!(await onServer()), !!(await phone.task(task.id))], [isThere, isThere])
  })
}

test('asked: the duration of a task that is made a milestone while somebody changes it', async () => {
  const { project, task, onServer } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  await phone.edit(task.id, { isMilestone: true })
  await project.change('tasks', task.id, { duration: 7 })
  await phone.now()
  const [conflict] = phone.sync.conflicts$.value
  assert.deepEqual([conflict.field, conflict.theirs], ['duration', 7])
  await phone.sync.resolve(conflict, 'theirs')
  await phone.now()
  const { duration, is_milestone } = await onServer()
  assert.deepEqual([duration, is_milestone, (await phone.task(task.id)).isMilestone], [7, false, false])
})

test('"mine" sends what the row holds by then, and asks again if the server\'s value is another one by then', async () => {
  const { project, task, onServer } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  await phone.edit(task.id, { notes: 'Mine', percentComplete: 10 })
  await project.change('tasks', task.id, { notes: 'Theirs' })
  await phone.now()
  assert.equal((await onServer()).percent_complete, 10)
  await phone.edit(task.id, { notes: 'Mine, longer' })
  await project.change('tasks', task.id, { notes: 'Theirs, later' })
  await phone.sync.resolve(phone.sync.conflicts$.value[0], 'mine')
  await phone.now()
  assert.equal(phone.sync.conflicts$.value[0].theirs, 'Theirs, later')
  await phone.sync.resolve(phone.sync.conflicts$.value[0], 'mine')
  assert.equal((await phone.now()).pending, 0)
  assert.equal((await onServer()).notes, 'Mine, longer')
})

// ---- What infra/docs/client.md says of the end of access, tokens, and signing out.

test('a project that was deleted is gone with the next sync, and unsent edits are aside', async () => {
  const { project, task } = await furnished()
  const { user } = await project.addMember(Role.scheduler)
  const phone = new Phone(project, { user })
  await phone.now()
  await phone.edit(task.id, { notes: 'Unsent' })
  await project.remove('projects', project.id)
  await phone.now()
  assert.equal(await phone.database.get('tasks').query().fetchCount(), 0)
  assert.deepEqual(phone.sync.aside$.value.map(({ values }) => values.notes), ['Unsent'])
  assert.equal(phone.sync.status$.value.projects[project.id].state, 'gone')
})

test('after signing out nothing is left, and another user can use the database', async () => {
  const { project } = await furnished()
  const { user } = await project.addMember(Role.viewer)
  const phone = new Phone(project)
  await phone.now()
  await phone.sync.stop()
  await phone.database.write(() => phone.database.unsafeResetDatabase())
  phone.sync = app.openSync(phone.database, { baseUrl, token: () => tokenFor(user) })
  assert.equal(await phone.database.get('tasks').query().fetchCount(), 0)
  const { state, projects } = await phone.now()
  assert.deepEqual([state, Object.keys(projects)], ['synced', [project.id]])
  assert.equal(await phone.database.get('tasks').query().fetchCount(), 1)
})

test('a token that cannot be renewed for want of a network is "offline", and one that is refused "error"', async () => {
  const { project } = await furnished()
  const phone = new Phone(project)
  await phone.sync.stop()
  const { SyncError } = app
  let token = () => Promise.reject(new SyncError('network', 'no network'))
  phone.sync = app.openSync(phone.database, { baseUrl, token: (request) => token(request) })
  assert.equal((await phone.now()).state, 'offline')
  const asked = []
  token = ({ refresh }) => (asked.push(refresh), 'not a token')
  const { state, problem } = await phone.now()
  assert.deepEqual([state, problem.status, asked], ['error', 401, [false, true]])
  assert.equal(app.lineFor(phone.sync.status$.value), 'Please sign in again.')
})

test('a row without a project is never sent', async () => {
  const { project } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  await app.addTask(phone.database, '', 'Nowhere')
  assert.deepEqual([(await phone.now()).pending, (await project.list('tasks')).length], [0, 1])
})

test('a task with what WatermelonDB fills in is refused, with the field that is wrong', async () => {
  const { project } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  const task = await phone.database.write(() => phone.database.get('tasks').create((task) => Object.assign(task, { project: project.id, name: 'Bare' })))
  const refusedFor = async () => {
    await phone.now()
    return phone.sync.rejected$.value.flatMap(({ problem }) => problem.errors.map(({ field }) => field))
  }
  assert.deepEqual(await refusedFor(), ['status'])
  await phone.edit(task.id, { status: 'NOT_STARTED' })
  assert.deepEqual(await refusedFor(), ['is_milestone'])
  await phone.edit(task.id, { duration: 2 })
  assert.deepEqual(await refusedFor(), [])
})

test('in a browser, events of the page wake the sync', (t) => {
  const [window, document] = [new EventTarget(), Object.assign(new EventTarget(), { visibilityState: 'hidden' })]
  Object.assign(globalThis, { window, document })
  t.after(() => {
    delete globalThis.window
    delete globalThis.document
  })
  const heard = []
  const stops = [app.web.network((isOn) => heard.push(['network', isOn])), app.web.appState((isOn) => heard.push(['page', isOn]))]
  const happen = () => {
    window.dispatchEvent(new Event('online'))
    document.dispatchEvent(new Event('visibilitychange'))
    document.visibilityState = 'visible'
    document.dispatchEvent(new Event('visibilitychange'))
  }
  happen()
  for (const stop of stops) stop()
  happen()
  assert.deepEqual(heard, [['network', true], ['page', false], ['page', true]])
})

// ---- infra/docs/migrate.md

test('an app can let the server win, as Auto Merge does', async () => {
  const { project, task, onServer } = await furnished()
  const phone = new Phone(project)
  await phone.now()
  const subscription = app.letServerWin(phone.sync)
  await phone.edit(task.id, { notes: 'Mine', name: 'Dig deep' })
  await project.change('tasks', task.id, { notes: 'Theirs' })
  await phone.now()
  const { promise, resolve } = deferred()
  phone.sync.status$.subscribe(({ state, pending }) => state === 'synced' && pending === 0 && resolve())
  await promise
  subscription.unsubscribe()
  const { name, notes } = await onServer()
  assert.deepEqual([name, notes, (await phone.task(task.id)).notes], ['Dig deep', 'Theirs', 'Theirs'])
})

function deferred() {
  let resolve
  const promise = new Promise((it) => (resolve = it))
  return { promise, resolve }
}

// A database of the app's own sync, with what it had not sent.

const without = ({ tables }, ...dropped) =>
  appSchema({ version: 1, tables: Object.values(tables).map(({ name, columns }) => tableSchema({ name, columns: Object.values(columns).filter((column) => !dropped.includes(column.name)) })) })

/** The database as the old app left it: `rows` came from the old backend, then its user did as `edit` does. */
async function oldDatabase(file, rows, edit) {
  const schema = without(app.schema, 'server_version')
  const database = new Database({ adapter: new SQLiteAdapter.default({ dbName: file, schema }), modelClasses: app.modelClasses })
  const updated = rows.map(({ server_version, ...row }) => row)
  await synchronize({ database, sendCreatedAsUpdated: true, pullChanges: async () => ({ changes: { tasks: { created: [], updated, deleted: [] } }, timestamp: 1_750_000_000_000 }) })
  await edit(database, (id) => database.get('tasks').find(id))
}

test('a database of the app\'s own sync is adopted: nothing unsent is lost, and nothing is overwritten unasked', async () => {
  const { project } = await furnished()
  const rows = {}
  for (const name of ['same', 'other', 'deleted', 'deletedOther', 'clean']) rows[name] = await project.addTask(name)
  const gone = ['gone', 'goneDirty'].map((id) => ({ ...rows.clean, id, name: id }))
  const file = join(home, 'own-sync.db')
  await oldDatabase(file, [...Object.values(rows), ...gone], async (database, task) => {
    await database.write(async () => {
      for (const [id, notes] of [[rows.same.id, 'Equal'], [rows.other.id, 'Mine'], ['goneDirty', 'Kept']]) {
        const record = await task(id)
        await record.update(() => Object.assign(record, { notes }))
      }
      for (const { id } of [rows.deleted, rows.deletedOther]) await (await task(id)).markAsDeleted()
    })
    await app.addTask(database, project.id, 'Added')
  })
  await project.change('tasks', rows.same.id, { notes: 'Equal' })
  for (const { id } of [rows.other, rows.deletedOther]) await project.change('tasks', id, { notes: 'Theirs' })

  const phone = new Phone(project)
  await phone.sync.stop()
  const schema = app.withBaseVersion(app.schema, { appSchema, tableSchema }, { version: 2 })
  phone.database = new Database({ adapter: new SQLiteAdapter.default({ dbName: file, schema, migrations: app.migrations }), modelClasses: app.modelClasses })
  phone.sync = app.openSync(phone.database, { baseUrl, token: () => tokenFor(project.owner) })
  const { state } = await app.adopt(phone.sync)
  assert.equal(state, 'synced', JSON.stringify(phone.sync.status$.value.problem))

  const onServer = await project.list('tasks')
  const notes = Object.fromEntries(onServer.map(({ name, notes }) => [name, notes]))
  assert.deepEqual(notes, { Dig: '', same: 'Equal', other: 'Theirs', deletedOther: 'Theirs', clean: '', Added: '' })
  const asked = phone.sync.conflicts$.value.map(({ id, field, mine, theirs }) => [id, field, mine, theirs])
  const edited = [rows.other.id, 'notes', 'Mine', 'Theirs']
  const [deletion] = asked.filter(([id]) => id === rows.deletedOther.id)
  assert.deepEqual(asked.filter((question) => question !== deletion), [edited])
  assert.deepEqual([deletion[1], deletion[3].notes], [null, 'Theirs'])
  assert.deepEqual(phone.sync.rejected$.value, [])
  assert.deepEqual(phone.sync.aside$.value.map(({ id, values }) => [id, values.notes]), [['goneDirty', 'Kept']])
  const held = (await phone.database.get('tasks').query().fetch()).map(({ name }) => name)
  assert.deepEqual(held.sort(), ['Added', 'Dig', 'clean', 'other', 'same'])
})
