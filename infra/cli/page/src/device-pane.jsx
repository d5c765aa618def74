import { useRef, useState } from 'preact/hooks'
import { newKey, users } from './api.js'
import { useView } from './plan.jsx'
import { count, number } from './scenarios.js'
import { project } from './state.js'
import { Dialog, Status, statuses } from './task-dialog.jsx'

/** A phone and facts about its last pull. */
export function DevicePane({ device }) {
  const [edited, setEdited] = useState(null)
  const { online, live, busy, user, notice } = device
  const install = (event) => device.install(event.target.value, project.value).then(() => device.sync())
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
        <button class="primary" disabled={!online.value} aria-busy={busy.value} onClick={() => device.sync()}>
          Pull
        </button>
      </div>
      <Facts device={device} />
      <div class={`phone ${online.value ? '' : 'offline'}`}>
        <p class="notice" role="status">
          {notice.value || (online.value ? '' : 'Offline. Changes wait on the device.')}
        </p>
        <Waiting device={device} />
        <Tasks device={device} onEdit={setEdited} />
        <NewTask device={device} />
      </div>
      <Wire device={device} />
      {edited && <TaskSheet device={device} id={edited} onClose={() => setEdited(null)} />}
    </>
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
    ['Last pull', pull ? `${count(pull.rows, 'row')}${pull.deleted ? `, ${pull.deleted} deleted` : ''}` : 'none yet', held.join(', ')],
    ['Outcome', pull?.way ?? '–', 'How the server proved the response complete'],
    ['Size', pull ? size(pull.transferred) + (pull.transferred < pull.bytes ? ` of ${size(pull.bytes)}` : '') : '–', 'Size of the response as it was sent'],
    ['Read units', pull ? (Number.isNaN(pull.units) ? 'not sent' : number(pull.units)) : '–', 'Read units of DynamoDB for the response'],
    ['Time', pull ? `${pull.ms.toFixed(0)} ms` : '–', 'Time from the request to the end of the response'],
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

const labels = { waiting: 'waiting', sending: 'sending…', sent: 'sent', conflict: 'conflict', refused: 'refused' }

/** Changes that are not on the server yet, and changes that it refused. */
function Waiting({ device }) {
  const outbox = device.outbox.value
  if (!outbox.length) return null
  const nameOf = ({ id, body }) => body?.name ?? device.rows.value.tasks.find((task) => task.id === id)?.name ?? id
  const verb = { POST: 'New task', PATCH: 'Change', DELETE: 'Delete' }
  return (
    <ul class="outbox" aria-label={`Outbox of device ${device.name}`}>
      {outbox.map((entry) => (
        <li key={entry.id + entry.method} class={entry.state}>
          <span class="name">
            {verb[entry.method]}: {nameOf(entry)}
          </span>{' '}
          <b>{labels[entry.state]}</b>
          {entry.state === 'conflict' && <Conflict device={device} entry={entry} />}
          {entry.state === 'refused' && (
            <div>
              <p>{entry.problem.text}</p>
              <button onClick={() => device.discard(entry)}>Discard</button>
            </div>
          )}
        </li>
      ))}
    </ul>
  )
}

function Conflict({ device, entry }) {
  const fields = entry.problem.conflict_fields ?? []
  const text = (values, field) => String(values?.[field] ?? 'nothing')
  return (
    <div>
      {fields.map((field) => (
        <p key={field}>
          {field}: server <q>{text(entry.problem.server_value, field)}</q>, this device <q>{text(entry.problem.client_value, field)}</q>
        </p>
      ))}
      <button onClick={() => device.keepMine(entry)}>Keep mine</button>{' '}
      <button
        onClick={() => {
          device.discard(entry)
          device.sync()
        }}
      >
        Take theirs
      </button>
    </div>
  )
}

const ROW = 48
const BEYOND = 6

function Tasks({ device, onEdit }) {
  const [element, view] = useView()
  const rows = device.tasks.value
  const first = Math.max(0, Math.floor(view.top / ROW) - BEYOND)
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BEYOND)
  return (
    <div class="phone-list" ref={element} tabIndex={0} role="group" aria-label={`${rows.length} tasks on device ${device.name}`}>
      {!rows.length && <p class="empty">{device.mark.value ? 'No tasks.' : 'Not pulled yet.'}</p>}
      <div style={{ height: `${rows.length * ROW}px` }}>
        <ul style={{ paddingTop: `${first * ROW}px` }}>
          {rows.slice(first, last).map((task) => (
            <li key={task.id} style={{ height: `${ROW}px` }}>
              <button class="phone-task" title={task.name} onClick={() => onEdit(task.id)}>
                <span class="name">{task.name}</span>
                <span class="quiet">
                  {statuses[task.status] ?? task.status}
                  {task.pending && <b class="pending"> · {labels[task.pending]}</b>}
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

/** Changes a task on the phone: into its outbox, and at once to the server if it is online. */
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

/** The last pull as JSON, as it was when it was opened. */
function Wire({ device }) {
  const [pages, setPages] = useState(null)
  return (
    <>
      <button class="plain" disabled={!device.last.value} onClick={() => setPages(device.last.value.pages)}>
        Last pull as JSON
      </button>
      {pages && (
        <Dialog title={`Device ${device.name}: the last pull`} wide onClose={() => setPages(null)}>
          <div class="wire">
            {pages.map(({ request, response }, index) => (
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
