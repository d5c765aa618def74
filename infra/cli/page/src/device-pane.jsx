import { useRef, useState } from 'preact/hooks'
import { newKey, users } from './api.js'
import { Decisions } from './decisions.jsx'
import { useView } from './plan.jsx'
import { count, number } from './scenarios.js'
import { project } from './state.js'
import { Dialog, Status } from './task-dialog.jsx'
import { pendingWords, stateIn, statuses, verbOf } from './words.js'

/** A device and facts about its last sync. */
export function DevicePane({ device }) {
  const [edited, setEdited] = useState(null)
  const { online, live, busy, user, isRunning } = device
  const install = (event) => device.install(event.target.value, project.value)
  return (
    <>
      <div class="bar">
        <h2>
          <span class={`flag flag-${device.name}`}>{device.name}</span> Device <span class="unseen">{device.name}</span>
        </h2>
        <label class="grow end">
          <span class="unseen">Signed in as</span>
          <select value={user.value} onChange={install} title="Choose another user to reinstall the app for them">
            {users.value.map(({ user }) => (
              <option key={user}>{user}</option>
            ))}
          </select>
        </label>
      </div>
      <div class="bar controls">
        <Switch label="Online" on={online.value} onChange={(on) => device.setOnline(on)} />
        <Switch label="Live" on={live.value} onChange={(on) => (live.value = on)} />
        <span class="grow" />
        <button disabled={!isRunning.value} aria-label="Kill the app" title="Kill the app, as the system of a phone does" onClick={() => device.kill()}>
          Kill
        </button>
        <button class="primary" disabled={!online.value || !isRunning.value} aria-busy={busy.value} onClick={() => device.sync()}>
          Sync
        </button>
      </div>
      <Facts device={device} />
      <div class={`phone ${online.value ? '' : 'offline'}`}>
        {isRunning.value ? <Running device={device} onEdit={setEdited} /> : <Killed device={device} />}
      </div>
      <Wire device={device} />
      {edited && <TaskSheet device={device} id={edited} onClose={() => setEdited(null)} />}
    </>
  )
}

/** The app as its user sees it. */
function Running({ device, onEdit }) {
  return (
    <>
      <SyncState device={device} />
      <p class="notice" role="status">
        {device.notice.value}
      </p>
      <Decisions device={device} onEdit={onEdit} />
      <Waiting device={device} />
      <Tasks device={device} onEdit={onEdit} />
      <NewTask device={device} />
    </>
  )
}

function Killed({ device }) {
  return (
    <div class="killed">
      <p>The app was killed. Its database is still on the device.</p>
      <button class="primary" onClick={() => device.start()}>
        Start the app
      </button>
    </div>
  )
}

/** How the sync stands: what an app shows all the time. */
function SyncState({ device }) {
  const status = device.status.value
  const { state, pending, progress } = status
  return (
    <div class={`sync-state ${state}`}>
      <b data-fact="status">{stateIn(status)}</b>
      <span class="grow" data-fact="pending">
        {pending > 0 ? `${count(pending, 'unsent edit')}` : state === 'synced' ? 'no unsent edits' : ''}
      </span>
      {progress && (
        <label>
          <span data-fact="progress">
            {number(progress.rows)}
            {progress.total === null ? ' rows so far' : ` of ${count(progress.total, 'row')}`}
          </span>
          <progress value={progress.total === null ? undefined : progress.rows} max={progress.total ?? undefined} />
        </label>
      )}
    </div>
  )
}

function Switch({ label, on, onChange }) {
  return (
    <button class="switch" role="switch" aria-checked={on} onClick={() => onChange(!on)}>
      <span class="knob" aria-hidden="true" />
      {label}
    </button>
  )
}

const size = (bytes) => (bytes < 1_000 ? `${bytes} B` : `${(bytes / 1_000).toLocaleString('en', { maximumSignificantDigits: 3 })} kB`)

function Facts({ device }) {
  const { mark, last, agreement, rows } = device
  const pull = last.value
  const tables = rows.value
  const held = Object.entries(tables).map(([table, { length }]) => `${length} ${table}`)
  // The outcome and the read units have rows of their own, and a pull writes nothing.
  const others = pull?.timings.filter(({ name }) => !['pull', 'rcu', 'wcu'].includes(name)) ?? []
  const checksum = { agrees: 'agrees', unknown: 'not sent' }[agreement.value] ?? `differs: ${agreement.value.join(', ')}`
  const state = { agrees: 'right', unknown: '' }[agreement.value] ?? 'wrong'
  const facts = [
    ['Mark', number(mark.value), 'This device has all changes up to this version'],
    ['Checksum', checksum, 'Whether the device has exactly the rows that the server has', state],
    ['Last pull', pull?.way ? `${count(pull.rows, 'row')}${pull.deleted ? `, ${pull.deleted} deleted` : ''}` : 'none yet', held.join(', ')],
    ['Outcome', pull?.way ?? '–', 'How the server proved the response complete'],
    ['Size', pull?.way ? size(pull.transferred) + (pull.transferred < pull.bytes ? ` of ${size(pull.bytes)}` : '') : '–', 'Size of the response as it was sent'],
    ['Read units', pull?.way ? (Number.isNaN(pull.units) ? 'not sent' : number(pull.units)) : '–', 'Read units of DynamoDB for the response'],
    ['Time', pull?.way ? `${pull.ms.toFixed(0)} ms` : '–', 'Time from the request to the end of the response'],
    ...others.map(({ name, dur, desc }) => [name[0].toUpperCase() + name.slice(1), [dur && `${dur} ms`, desc].filter(Boolean).join(', ') || 'yes', 'Server-Timing']),
  ]
  return (
    <dl class="facts">
      {facts.map(([name, value, title, state]) => (
        <div key={name} title={title}>
          <dt>{name}</dt>
          <dd class={state} data-fact={name.toLowerCase()}>
            {value}
          </dd>
          {state === 'wrong' && (
            <button class="small" onClick={() => device.sync({ anew: true })}>
              Full sync
            </button>
          )}
        </div>
      ))}
    </dl>
  )
}

/** The edits that wait to be sent. Those that need a decision are shown above. */
function Waiting({ device }) {
  const decided = new Set([...device.conflicts.value, ...device.rejected.value].map(({ table, id }) => `${table}/${id}`))
  const rows = device.unsent.value.filter(({ table, id }) => !decided.has(`${table}/${id}`))
  if (!rows.length) return null
  return (
    <ul class="outbox" aria-label={`Unsent edits on device ${device.name}`}>
      {rows.map(({ table, id, status, values, isSending, isGivenUp }) => (
        <li key={table + id}>
          <span class="name">
            {verbOf(status)}: {values?.name ?? id}
          </span>{' '}
          <b>{isGivenUp ? 'given up at the next sync' : pendingWords[isSending ? 'sending' : 'waiting']}</b>
        </li>
      ))}
    </ul>
  )
}

const ROW = 48
const BEYOND = 6

function Tasks({ device, onEdit }) {
  const [element, view] = useView()
  // Half a plan is never shown. During the first sync a progress bar takes its place.
  const isPartial = device.status.value.progress !== null
  const rows = isPartial ? [] : device.tasks.value
  const first = Math.max(0, Math.floor(view.top / ROW) - BEYOND)
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BEYOND)
  return (
    <div class="phone-list" ref={element} tabIndex={0} role="group" aria-label={`${rows.length} tasks on device ${device.name}`}>
      {!rows.length && <p class="empty">{isPartial ? 'The tasks appear when the first sync is complete.' : device.mark.value ? 'No tasks.' : 'Not synced yet.'}</p>}
      <div style={{ height: `${rows.length * ROW}px` }}>
        <ul style={{ paddingTop: `${first * ROW}px` }}>
          {rows.slice(first, last).map((task) => (
            <li key={task.id} style={{ height: `${ROW}px` }}>
              <button class="phone-task" title={task.name} onClick={() => onEdit(task.id)}>
                <span class="name">{task.name}</span>
                <span class="quiet">
                  {statuses[task.status] ?? task.status}
                  {task.pending && <b class="pending"> · {pendingWords[task.pending]}</b>}
                </span>
                <Ring percent={task.percent_complete} />
              </button>
            </li>
          ))}
        </ul>
      </div>
    </div>
  )
}

const AROUND = 2 * Math.PI * 11

function Ring({ percent }) {
  return (
    <svg class="ring" width={34} height={34} viewBox="0 0 34 34" role="img" aria-label={`${percent} %`}>
      <circle cx={17} cy={17} r={11} />
      {percent > 0 && <circle class="done" cx={17} cy={17} r={11} stroke-dasharray={`${(AROUND * percent) / 100} ${AROUND}`} transform="rotate(-90 17 17)" />}
      <text x={17} y={20.5}>
        {percent}
      </text>
    </svg>
  )
}

function NewTask({ device }) {
  const [name, setName] = useState('')
  const add = (event) => {
    event.preventDefault()
    if (!name.trim()) return
    device.edit('POST', newKey(), { name: name.trim() })
    setName('')
  }
  return (
    <form class="inline phone-new" onSubmit={add}>
      <input class="grow" aria-label={`New task on device ${device.name}`} placeholder="New task" maxLength={512} value={name} onInput={(event) => setName(event.target.value)} />
      <button>Add</button>
    </form>
  )
}

/** Changes a task on the phone. The app sends it at once if it can. */
function TaskSheet({ device, id, onClose }) {
  const task = useRef(device.tasks.peek().find((task) => task.id === id)).current
  if (!task) return null
  const save = (event) => {
    event.preventDefault()
    const data = Object.fromEntries(new FormData(event.target))
    const now = { ...data, percent_complete: Number(data.percent_complete) }
    const body = Object.fromEntries(Object.entries(now).filter(([name, value]) => task[name] !== value))
    if (Object.keys(body).length) device.edit('PATCH', id, body)
    onClose()
  }
  return (
    <Dialog title={`Device ${device.name}: ${task.name}`} onClose={onClose}>
      <form class="fields" onSubmit={save}>
        <label class="wide">
          Name <input name="name" required maxLength={512} defaultValue={task.name} />
        </label>
        <label>
          Complete, % <input name="percent_complete" type="number" min={0} max={100} required defaultValue={task.percent_complete} />
        </label>
        <label>
          Status <Status value={task.status} />
        </label>
        <div class="bar wide">
          <span class="quiet grow">{task.server_version ? `version ${number(task.server_version)}` : 'not on the server yet'}</span>
          <button
            type="button"
            class="danger"
            onClick={() => {
              device.edit('DELETE', id)
              onClose()
            }}
          >
            Delete
          </button>
          <button class="primary">Save</button>
        </div>
      </form>
    </Dialog>
  )
}

/** The last sync as JSON, as it was when it was opened. */
function Wire({ device }) {
  const [exchanges, setExchanges] = useState(null)
  return (
    <>
      <button class="plain" disabled={!device.last.value} onClick={() => setExchanges(device.last.value.exchanges)}>
        Last sync as JSON
      </button>
      {exchanges && (
        <Dialog title={`Device ${device.name}: the last sync`} wide onClose={() => setExchanges(null)}>
          <div class="wire">
            {exchanges.map(({ request, response }, index) => (
              <div key={index}>
                <h4>Request</h4>
                <pre tabIndex={0}>{JSON.stringify(request, null, 2)}</pre>
                <h4>Response</h4>
                <pre tabIndex={0}>{JSON.stringify(response, null, 2)}</pre>
              </div>
            ))}
          </div>
        </Dialog>
      )}
    </>
  )
}
