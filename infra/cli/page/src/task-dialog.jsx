import { useEffect, useRef, useState } from 'preact/hooks'
import { change, server } from './state.js'
import { statuses } from './words.js'

/** A modal dialog; closes on Escape. */
export function Dialog({ title, wide = false, onClose, children }) {
  const element = useRef(null)
  useEffect(() => {
    element.current.showModal()
  }, [])
  return (
    <dialog ref={element} class={wide ? 'broad' : ''} aria-label={title} onClose={onClose}>
      <div class="bar">
        <h3 class="name grow" title={title}>
          {title}
        </h3>
        <button class="icon" aria-label="Close" onClick={() => element.current.close()}>
          ×
        </button>
      </div>
      {children}
    </dialog>
  )
}

/** What was changed in a form, by field. */
function difference(task, form) {
  const data = new FormData(form)
  const body = {}
  for (const [name, text] of data) {
    const value = ['duration', 'percent_complete'].includes(name) ? Number(text) : text === '' && name !== 'notes' ? null : text
    if (value !== task[name]) body[name] = value
  }
  if ('duration' in body) body.is_milestone = body.duration === 0
  return body
}

/** Changes a task over REST, as of the version that was opened. */
export function TaskDialog({ task, onClose }) {
  // The dialog keeps the task as it was when it was opened, whatever changes meanwhile.
  const [seen] = useState(task)
  const [refused, setRefused] = useState('')
  const { memberships = [], dependencies = [], tasks = [] } = server.value
  const act = async (...args) => {
    const text = await change(...args)
    setRefused(text)
    return !text
  }
  const save = async (event) => {
    event.preventDefault()
    const body = difference(seen, event.target)
    if (!Object.keys(body).length || (await act('PATCH', 'tasks', seen.id, body, seen.server_version))) onClose()
  }
  const nameOf = (id) => tasks.find((other) => other.id === id)?.name ?? id
  const connect = async (event) => {
    event.preventDefault()
    const { predecessor, dep_type } = Object.fromEntries(new FormData(event.target))
    await act('POST', 'dependencies', '', { predecessor, successor: seen.id, dep_type })
  }
  return (
    <Dialog title={seen.name} onClose={onClose}>
      <form class="fields" onSubmit={save}>
        <label class="wide">
          Name <input name="name" required maxLength={512} defaultValue={seen.name} />
        </label>
        <label>
          Duration, days <input name="duration" type="number" min={0} max={36525} required defaultValue={seen.duration} />
        </label>
        <label>
          Complete, % <input name="percent_complete" type="number" min={0} max={100} required defaultValue={seen.percent_complete} />
        </label>
        <label>
          Status <Status value={seen.status} />
        </label>
        <label>
          Planned start <input name="planned_start" type="date" defaultValue={seen.planned_start ?? ''} />
        </label>
        <label>
          Outline <input name="wbs_path" placeholder="1.2.3" defaultValue={seen.wbs_path ?? ''} />
        </label>
        <label>
          Assignee
          <select name="assignee">
            <option value="">nobody</option>
            {memberships.map(({ user }) => (
              <option key={user} selected={user === seen.assignee}>
                {user}
              </option>
            ))}
          </select>
        </label>
        <label class="wide">
          Notes <textarea name="notes" rows={2} maxLength={50000} defaultValue={seen.notes} />
        </label>
        <p class="refusal wide" role="alert">
          {refused}
        </p>
        <div class="bar wide">
          <span class="quiet grow">version {seen.server_version.toLocaleString('en')}</span>
          <button type="button" class="danger" onClick={async () => (await act('DELETE', 'tasks', seen.id)) && onClose()}>
            Delete
          </button>
          <button class="primary">Save</button>
        </div>
      </form>
      <h4>Depends on</h4>
      <ul class="edges">
        {dependencies
          .filter(({ successor }) => successor === seen.id)
          .map(({ id, predecessor, dep_type, lag }) => (
            <li key={id}>
              <span class="name grow">{nameOf(predecessor)}</span>
              <span class="quiet">
                {dep_type}
                {lag ? ` ${lag > 0 ? '+' : ''}${lag} d` : ''}
              </span>
              <button class="icon" aria-label={`Remove the dependency on ${nameOf(predecessor)}`} onClick={() => act('DELETE', 'dependencies', id)}>
                ×
              </button>
            </li>
          ))}
      </ul>
      <form class="inline" onSubmit={connect}>
        <select name="predecessor" class="grow" aria-label="Predecessor">
          {tasks
            .filter(({ id }) => id !== seen.id)
            .map(({ id, name }) => (
              <option key={id} value={id}>
                {name}
              </option>
            ))}
        </select>
        <select name="dep_type" aria-label="Kind of dependency">
          {['FS', 'SS', 'FF', 'SF'].map((type) => (
            <option key={type}>{type}</option>
          ))}
        </select>
        <button>Connect</button>
      </form>
    </Dialog>
  )
}

export function Status({ value, ...attributes }) {
  return (
    <select name="status" {...attributes}>
      {Object.entries(statuses).map(([status, label]) => (
        <option key={status} value={status} selected={status === value}>
          {label}
        </option>
      ))}
    </select>
  )
}
