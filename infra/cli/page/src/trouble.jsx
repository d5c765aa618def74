import { useRef } from 'preact/hooks'
import * as scenarios from './scenarios.js'
import { backup, devices, lag, project, server, setLag } from './state.js'
import { number } from './scenarios.js'

const lags = { 0: 'no lag', 60: '60 ms', 1000: '1 s', 5000: '5 s' }

/** Buttons that start the scenarios, and their report. */
export function TroublePane() {
  const lost = useRef(null)
  const user = devices[1].user.value
  const member = server.value?.memberships?.some((row) => row.user === user)
  const deleted = server.value?.problem?.code === 'project_deleted'
  const off = scenarios.running.value || !project.value
  const button = (label, play, disabled = deleted) => (
    <button disabled={off || disabled} onClick={() => play()}>
      {label}
    </button>
  )
  return (
    <>
      <div class="bar">
        <h2>Try what can go wrong</h2>
      </div>
      <div class="trouble">
        <div class="causes">
          <fieldset>
            <legend>Changes</legend>
            {button('Two edit one task', scenarios.editDifferentFields)}
            {button('Two edit the same field', scenarios.editSameField)}
            {button('Delete a linked task', scenarios.cascade)}
            {button('Add 300 tasks', () => scenarios.addTasks())}
          </fieldset>
          <fieldset>
            <legend>Members and the project</legend>
            {member === false && !deleted ? button(`Add ${user} again`, scenarios.addMember) : button(`Remove ${user}`, scenarios.removeMember)}
            {deleted ? button('New project', scenarios.newProject, false) : button('Delete the project', scenarios.deleteProject)}
          </fieldset>
          <fieldset>
            <legend>Lag of the index</legend>
            <label>
              Lag{' '}
              <select value={lag.value} onChange={(event) => setLag(Number(event.target.value))}>
                {Object.entries(lags).map(([value, label]) => (
                  <option key={value} value={value}>
                    {label}
                  </option>
                ))}
              </select>
            </label>
            {button('Change, then pull', scenarios.pullAtOnce)}
          </fieldset>
          <fieldset>
            <legend>Backup{backup.value && `: version ${number(backup.value.version)}`}</legend>
            {button('Take a backup', scenarios.takeBackup)}
            {button('Restore it', () => scenarios.restoreBackup(lost.current.checked), !backup.value)}
            <label title="Rows that only the lost table has become tombstones, and devices pull as usual. Without the lost table, every device needs a full sync.">
              <input type="checkbox" ref={lost} /> the lost table can be read
            </label>
          </fieldset>
        </div>
        <Story />
      </div>
    </>
  )
}

const signs = new Map([[true, '✓'], [false, '✗'], [null, '·']])
const words = new Map([[true, 'Passed: '], [false, 'Failed: '], [null, '']])

function Story() {
  const story = scenarios.story.value
  return (
    <div class="story" role="status" aria-busy={scenarios.running.value}>
      {!story && <p class="empty">Press a button. This list shows what happens, and whether both devices have the right data at the end.</p>}
      {story && (
        <>
          <h3>{story.title}</h3>
          <ol>
            {story.lines
              .filter(({ text }) => text)
              .map(({ ok, text }, index) => (
                <li key={index} class={ok === null ? '' : ok ? 'right' : 'wrong'}>
                  <span aria-hidden="true">{signs.get(ok)}</span>
                  <span>
                    <span class="unseen">{words.get(ok)}</span>
                    {text}
                  </span>
                </li>
              ))}
          </ol>
        </>
      )}
    </div>
  )
}
