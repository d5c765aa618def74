// Scenarios of common problems. Each reports what it did, and whether the devices have the right data at the end.

import { signal } from '@preact/signals'
import { call, problem, projectPath, stack } from './api.js'
import { actor, devices, history, load, look, open, owner, project, server } from './state.js'
import { reasonIn } from './words.js'

/** The report of the latest scenario: `{ title, lines: [{ ok, text }] }`. `ok` is null for lines that are not a check. */
export const story = signal(null)
export const running = signal(false)

const [a, b] = devices
const phone = (device) => `Device ${device.name} (${device.user.value})`

/** Plays a scenario; `play` is given `tell(text, ok)`. */
async function play(title, scenario) {
  if (running.value) return
  running.value = true
  story.value = { title, lines: [], done: false }
  const tell = (text, ok = null) => (story.value = { ...story.value, lines: [...story.value.lines, { text, ok }] })
  try {
    await look()
    await scenario(tell)
    await look()
  } catch (error) {
    tell(error.message, false)
  } finally {
    story.value = { ...story.value, done: true }
    running.value = false
  }
}

async function asOwner(method, collection, id, body) {
  const answer = await call(owner, method, projectPath(project.value, collection, id), { body })
  if (!answer.ok) throw new Error(problem(answer))
  return answer
}

/** Lets the devices pull, and reports of each whether it has the same rows as the server. */
async function pullAll(tell) {
  for (const device of devices) {
    device.online.value = true
    if (!device.isRunning.value) await device.start()
    const answered = await device.sync()
    if (!answered) {
      tell(`${phone(device)}: ${device.notice.value}`, device.size.value === 0)
      continue
    }
    const { last, agreement, mark } = device
    const { way, rows, deleted } = last.value
    const what = `${count(rows, 'row')} and ${count(deleted, 'tombstone')} with the outcome “${way}”, mark ${number(mark.value)}`
    const agrees = agreement.value === 'agrees'
    if (device.size.value === 0) tell(`${phone(device)}: ${what}; it has no rows any more`, true)
    else tell(`${phone(device)}: ${what}; its checksum ${agrees ? 'agrees' : 'does not agree'}`, agrees)
  }
}

export const number = (value) => value.toLocaleString('en')
export const count = (value, what) => `${number(value)} ${what}${value === 1 ? '' : 's'}`

const membershipOf = (user) => server.value?.memberships?.find((row) => row.user === user)

export const removeMember = () =>
  play('A member is removed', async (tell) => {
    const user = b.user.value
    if (actor.value !== owner) await asEditor(owner)
    const membership = membershipOf(user)
    if (!membership) throw new Error(`${user} is not a member. Press “Add ${user} again” first.`)
    await asOwner('DELETE', 'memberships', membership.id)
    tell(`${owner} removed ${user}.`)
    await pullAll(tell)
    const again = await b.sync()
    tell(`${phone(b)} pulls again: ${again ? 'it gets a response' : b.notice.value}`, !again && b.size.value === 0)
  })

export const addMember = () =>
  play('A member is added again', async (tell) => {
    await asOwner('POST', 'memberships', '', { user: b.user.value, role: 200 })
    tell(`${owner} added ${b.user.value} again.`)
    await pullAll(tell)
  })

async function asEditor(user) {
  actor.value = user
  await load()
}

export const deleteProject = () =>
  play('The project is deleted', async (tell) => {
    await asOwner('DELETE', '', '')
    tell(`${owner} deleted the project.`)
    await pullAll(tell)
  })

export const newProject = () =>
  play('A new project', async (tell) => {
    const { body } = await stack('POST', 'projects')
    await open(body.id)
    tell(`There is a new project “House by the lake” and two new devices.`)
    await pullAll(tell)
  })

/** Two people change one task while offline: other fields of it, or the same. */
const together = (title, [first, second], judge) =>
  play(title, async (tell) => {
    await pullAll(() => {})
    const task = b.tasks.value.find(({ percent_complete }) => percent_complete < 100)
    if (!task) throw new Error('There is no task that both can change.')
    for (const device of devices) device.online.value = false
    await a.edit('PATCH', task.id, first(task))
    await b.edit('PATCH', task.id, second(task))
    tell(`Both devices are offline and change “${task.name}”: ${fields(first(task))} on A, ${fields(second(task))} on B.`)
    await a.setOnline(true)
    tell(`${phone(a)} is online again and sends its change.`, a.unsent.value.length === 0)
    await b.setOnline(true)
    judge(tell, task)
    if (b.unsent.value.length === 0) await pullAll(tell)
  })

const fields = (body) => Object.entries(body).map(([name, value]) => `${name} ${value}`).join(', ')
const more = (task) => Math.min(100, task.percent_complete + 10)

export const editDifferentFields = () =>
  together(
    'Two people change different fields of one task',
    [(task) => ({ percent_complete: more(task) }), (task) => ({ name: `${task.name.replace(/ \(.*\)$/, '')} (B)` })],
    (tell) => tell(`${phone(b)} is online again. ${b.notice.value}`, b.unsent.value.length === 0),
  )

export const editSameField = () =>
  together(
    'Two people change the same field of one task',
    [(task) => ({ percent_complete: more(task) }), (task) => ({ percent_complete: Math.max(0, more(task) - 5) })],
    (tell, task) => {
      const [conflict] = b.conflicts.value
      const what = conflict ? `409 sync_conflict in ${conflict.field}. Nothing was written; B must decide` : 'no conflict'
      tell(`${phone(b)} is online again: ${what} (“${task.name}”).`, Boolean(conflict))
    },
  )

/** The tasks on B that are not complete: at least `count`. */
function openTasks(count) {
  const tasks = b.tasks.value.filter(({ percent_complete }) => percent_complete < 100)
  if (tasks.length < count) throw new Error(`This needs ${count} tasks that are not complete. Add some first.`)
  return tasks
}

export const editOnBoth = () =>
  play('Both devices edit offline', async (tell) => {
    await pullAll(() => {})
    const [merged, disputed, ...others] = openTasks(3)
    const deleted = others.at(-1)
    for (const device of devices) device.online.value = false
    await a.edit('PATCH', merged.id, { percent_complete: more(merged) })
    await a.edit('PATCH', disputed.id, { percent_complete: more(disputed) })
    await a.edit('DELETE', deleted.id)
    await b.edit('PATCH', merged.id, { name: `${merged.name} (B)` })
    await b.edit('PATCH', disputed.id, { percent_complete: Math.max(0, more(disputed) - 5) })
    await b.edit('PATCH', deleted.id, { status: 'ON_HOLD' })
    const [onA, onB] = devices.map(({ status }) => status.value.pending)
    tell(`Both devices are offline. ${onA} edits wait on A and ${onB} on B.`, onA >= 3 && onB >= 3)
    await a.setOnline(true)
    tell(`${phone(a)} is online again and sends its edits. Edits that still wait on A: ${a.unsent.value.length}.`, a.unsent.value.length === 0)
    await b.setOnline(true)
    const now = b.tasks.value.find(({ id }) => id === merged.id)
    const hasBoth = now?.name.endsWith('(B)') && now.percent_complete === more(merged)
    tell(`${phone(b)} is online again. “${merged.name}”: the devices changed different fields, and the server has both changes.`, hasBoth)
    tell(`“${disputed.name}”: the devices changed the same field. B shows both values, and its user must choose.`, b.conflicts.value.some(({ id }) => id === disputed.id))
    tell(`“${deleted.name}”: A deleted it, and B edited it. B sets its edit aside, and its user restores or drops it.`, b.aside.value.some(({ id }) => id === deleted.id))
    await pullAll(tell)
  })

export const killWhileSending = () =>
  play('The app is killed while it sends', async (tell) => {
    await pullAll(() => {})
    const [task] = openTasks(1)
    a.online.value = false
    await a.edit('PATCH', task.id, { percent_complete: more(task) })
    await look()
    const before = history.value.current
    a.killWhenSending()
    await a.setOnline(true)
    await look()
    const done = history.value.current
    tell(`${phone(a)} sends an edit of “${task.name}”. The app is killed before it gets the response.`, !a.isRunning.value)
    tell(`The server committed the edit. Its version went from ${number(before)} to ${number(done)}.`, done > before)
    a.wasRepeated.value = false
    await a.start()
    tell('The app starts again and repeats the request with the same idempotency key. The server repeats its response.', a.wasRepeated.value)
    await look()
    tell(`The edit was applied once. The server is still at version ${number(history.value.current)}.`, history.value.current === done)
    await pullAll(tell)
  })

export const refuseOneOfThree = () =>
  play('The server refuses one of three edits', async (tell) => {
    await pullAll(() => {})
    const [first, second, third] = openTasks(3)
    a.online.value = false
    await a.edit('PATCH', first.id, { percent_complete: more(first) })
    await a.edit('PATCH', second.id, { percent_complete: 150 })
    await a.edit('PATCH', third.id, { name: `${third.name} (A)` })
    tell(`${phone(a)} is offline and makes three edits. One of them sets “${second.name}” to 150 %.`, a.status.value.pending >= 3)
    await a.setOnline(true)
    await load()
    const stored = (id) => server.value.tasks.find((task) => task.id === id)
    const accepted = stored(first.id).percent_complete === more(first) && stored(third.id).name.endsWith('(A)')
    tell('It is online again and sends all three in one request. The server accepts two.', accepted)
    const refused = a.rejected.value.find(({ id }) => id === second.id)
    tell(`The server refuses one: ${refused ? reasonIn(refused.problem) : 'no reason given'} The edit stays on the device until its user changes or discards it.`, Boolean(refused))
    await pullAll(tell)
  })

export const pullAtOnce = () =>
  play('A change, and a pull immediately after it', async (tell) => {
    await pullAll(() => {})
    const task = a.tasks.value[0]
    if (!task) throw new Error('There is no task to change.')
    const answer = await asOwner('PATCH', 'tasks', task.id, { notes: `Changed at ${new Date().toISOString()}.` })
    const version = Number(answer.headers.get('x-server-version'))
    await a.sync()
    const { way } = a.last.value
    tell(`The server committed version ${number(version)}. ${phone(a)} pulls and gets it with the outcome “${way}”.`, a.mark.value >= version)
    tell(waysToProof[way] ?? '')
    await pullAll(tell)
  })

const waysToProof = {
  first_read: 'The index had all versions up to the counter at the first read.',
  asked_again: 'The index lacked versions, so the server read it again until it had them.',
  caught_up: 'The index was ahead of the counter, so the server read the counter again.',
  strong: 'The index lacked versions for too long, so the server read all rows with strong reads of the table.',
}

export const cascade = () =>
  play('A task is deleted with its dependencies', async (tell) => {
    await pullAll(() => {})
    const edges = server.value?.dependencies ?? []
    const count = ({ id }) => edges.filter((edge) => edge.predecessor === id || edge.successor === id).length
    const [task] = [...(server.value?.tasks ?? [])].sort((one, other) => count(other) - count(one))
    if (!task) throw new Error('There is no task to delete.')
    const expected = count(task)
    await asOwner('DELETE', 'tasks', task.id)
    tell(`${owner} deleted “${task.name}”, which has ${expected} dependencies.`)
    await pullAll(tell)
    const dangling = devices.flatMap(({ rows }) => rows.value.dependencies).filter((edge) => edge.predecessor === task.id || edge.successor === task.id)
    tell(`Dependencies of the task that are still on a device: ${dangling.length}`, dangling.length === 0)
  })

const BATCH = 98

export const addTasks = (count = 300) =>
  play(`${count} more tasks`, async (tell) => {
    const { length } = server.value?.tasks ?? []
    const start = new Date(`${server.value?.project?.start_date ?? '2026-03-02'}T00:00:00Z`)
    for (let done = 0; done < count; done += BATCH) {
      const operations = Array.from({ length: Math.min(BATCH, count - done) }, (_, n) => {
        const index = done + n
        const day = new Date(start.getTime() + (index % 160) * 86_400_000).toISOString().slice(0, 10)
        const wbs_path = `9.${Math.floor((length + index) / 20) + 1}.${(index % 20) + 1}`
        const body = { name: `Snag ${length + index + 1}`, wbs_path, duration: 1 + (index % 9), planned_start: day }
        return { method: 'POST', path: 'tasks/', body }
      })
      await asOwner('POST', 'batch', '', { operations })
    }
    tell(`${owner} imported ${count} tasks in ${Math.ceil(count / BATCH)} batches.`)
    await pullAll(tell)
  })

export const takeBackup = () =>
  play('A backup', async (tell) => {
    const { ok, body, ...answer } = await stack('POST', `projects/${project.value}/backup`)
    if (!ok) throw new Error(problem({ body, ...answer }))
    tell(`The backup has version ${number(body.version)} and ${body.rows} rows. A restore undoes all later changes.`)
  })

export const restoreBackup = (lostTable) =>
  play(lostTable ? 'A restore while the lost table can be read' : 'A restore without the lost table', async (tell) => {
    const before = history.value?.current ?? 0
    const { ok, body, ...answer } = await stack('POST', `projects/${project.value}/restore`, { lost_table: lostTable })
    if (!ok) throw new Error(problem({ body, ...answer }))
    const buried = lostTable ? `. ${body.buried_rows} rows that only the lost table has became tombstones` : ''
    tell(`“trueppm restore” wrote ${body.rewritten_rows} rows again, above all earlier marks${buried}.`)
    await look()
    const now = history.value.current
    tell(`The counter went from ${number(before)} to ${number(now)}.`, now > before)
    await pullAll(tell)
  })
