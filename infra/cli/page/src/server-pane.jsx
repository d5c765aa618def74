import { useState } from 'preact/hooks'
import { useSignal } from '@preact/signals'
import { newProject } from './scenarios.js'
import { actor, change, load, project, server, tasks } from './state.js'
import { users } from './api.js'
import { Plan } from './plan.jsx'
import { TaskDialog } from './task-dialog.jsx'

export const roles = { 1: 'Viewer', 100: 'Member', 200: 'Scheduler', 300: 'Admin', 400: 'Owner' }

/** The project as one of its users changes it, over REST. */
export function ServerPane() {
  const refused = useSignal('')
  const edited = useSignal(null)
  const act = async (...args) => {
    refused.value = await change(...args)
    return refused.value
  }
  const task = tasks.value.find(({ id }) => id === edited.value)
  return (
    <>
      <div class="bar">
        <h2>Server</h2>
        <label>
          Acting as{' '}
          <select
            value={actor.value}
            onChange={(event) => {
              actor.value = event.target.value
              refused.value = ''
              load()
            }}
          >
            {users.value.map(({ user }) => (
              <option key={user}>{user}</option>
            ))}
          </select>
        </label>
        <span class="quiet grow">{tasks.value.length > 0 && `${tasks.value.length} tasks`}</span>
        {server.value?.project && <NewTask act={act} />}
      </div>
      <p class="refusal" role="alert">
        {refused.value}
      </p>
      <Content onEdit={(id) => (edited.value = id)} />
      {server.value?.memberships && <Members act={act} />}
      {task && <TaskDialog key={task.id} task={task} onClose={() => (edited.value = null)} />}
    </>
  )
}

function Content({ onEdit }) {
  if (!server.value) return <p class="empty">Reading the project…</p>
  if (server.value.problem) {
    const deleted = server.value.problem.code === 'project_deleted'
    return (
      <div class="empty">
        <p>{deleted ? 'The project is deleted.' : `${actor.value} cannot see this project: ${server.value.text}`}</p>
        {deleted && <button onClick={newProject}>Create a new project</button>}
      </div>
    )
  }
  if (!tasks.value.length) return <p class="empty">No tasks yet. Add one above.</p>
  return <Plan onEdit={onEdit} />
}

function NewTask({ act }) {
  const [name, setName] = useState('')
  const add = async (event) => {
    event.preventDefault()
    if (name.trim() && !(await act('POST', 'tasks', '', { name: name.trim() }))) setName('')
  }
  return (
    <form class="inline" onSubmit={add}>
      <input aria-label="Name of a new task" placeholder="New task" maxLength={512} value={name} onInput={(event) => setName(event.target.value)} />
      <button>Add</button>
    </form>
  )
}

function Members({ act }) {
  const { memberships } = server.value
  const [user, setUser] = useState('')
  const add = async (event) => {
    event.preventDefault()
    if (user.trim() && !(await act('POST', 'memberships', '', { user: user.trim(), role: 100 }))) setUser('')
  }
  return (
    <div class="members">
      <div class="bar">
        <h3>Members</h3>
        <span class="grow" />
        <form class="inline" onSubmit={add}>
          <input aria-label="User to add as a member" placeholder="User" maxLength={128} value={user} onInput={(event) => setUser(event.target.value)} />
          <button>Add</button>
        </form>
      </div>
      <ul>
        {[...memberships]
          .sort((one, other) => other.role - one.role || (one.user < other.user ? -1 : 1))
          .map(({ id, user, role, server_version }) => (
            <li key={id}>
              <span class="name" title={user}>
                {user}
              </span>
              <select
                key={`${project.value}${server_version}`}
                aria-label={`Role of ${user}`}
                onChange={(event) => {
                  const select = event.target
                  act('PATCH', 'memberships', id, { role: Number(select.value) }, server_version).then((refused) => {
                    if (refused) select.value = String(role)
                  })
                }}
              >
                {Object.entries(roles).map(([value, name]) => (
                  <option key={value} value={value} selected={Number(value) === role}>
                    {name}
                  </option>
                ))}
              </select>
              <button class="icon" aria-label={`Remove ${user}`} title={`Remove ${user}`} onClick={() => act('DELETE', 'memberships', id)}>
                ×
              </button>
            </li>
          ))}
      </ul>
    </div>
  )
}
