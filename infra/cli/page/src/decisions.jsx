import { useState } from 'preact/hooks'
import { Status } from './task-dialog.jsx'
import { adviceFor, asideReasonIn, fieldsIn, kindOf, labelOf, reasonIn, valueOf, verbOf } from './words.js'

/** What only the user can decide: conflicts, edits that the server refused, and edits of rows that are gone. */
export function Decisions({ device, onEdit }) {
  const [conflicts, rejected, aside] = [device.conflicts.value, device.rejected.value, device.aside.value]
  if (!conflicts.length && !rejected.length && !aside.length) return null
  return (
    <div class="decisions" role="group" tabIndex={0} aria-label={`Decisions on device ${device.name}`}>
      {conflicts.map((conflict) => (
        <Conflict key={`${conflict.table}/${conflict.id}/${conflict.field}`} device={device} conflict={conflict} />
      ))}
      {rejected.map((edit) => (
        <Rejected key={`${edit.table}/${edit.id}`} device={device} edit={edit} onEdit={onEdit} />
      ))}
      {aside.map((edit) => (
        <Aside key={edit.key} device={device} edit={edit} />
      ))}
    </div>
  )
}

/** The row's name, as the phone has it: also if it is deleted here and not yet on the server. */
const nameOf = (device, { table, id }) =>
  device.rows.value[table]?.find((row) => row.id === id)?.name ?? device.unsent.value.find((row) => row.table === table && row.id === id)?.values?.name ?? id

/** Both values side by side, and the choice between them and a third one. */
function Conflict({ device, conflict }) {
  const { table, field, mine, theirs } = conflict
  const name = nameOf(device, conflict)
  const isDeletion = field === null
  const choose = (choice) => device.resolve(conflict, choice)
  return (
    <section class="conflict" aria-label={`Conflict: ${name}`}>
      <h3>
        <span class="sort">Conflict</span> {name}
      </h3>
      <p>
        {isDeletion
          ? `You deleted this ${kindOf(table)}. Someone else has changed it since.`
          : `You and someone else changed “${labelOf(field)}”. Which value is right?`}
      </p>
      <dl class="sides">
        <div>
          <dt>Mine</dt>
          <dd data-side="mine">{isDeletion ? 'deleted' : valueOf(field, mine)}</dd>
          <dd>
            <button onClick={() => choose('mine')}>Keep mine</button>
          </dd>
        </div>
        <div>
          <dt>Theirs</dt>
          <dd data-side="theirs">{isDeletion ? fieldsIn(theirs) : valueOf(field, theirs)}</dd>
          <dd>
            <button onClick={() => choose('theirs')}>Take theirs</button>
          </dd>
        </div>
      </dl>
      {!isDeletion && <OtherValue field={field} mine={mine} theirs={theirs} onChoose={(value) => choose({ value })} />}
    </section>
  )
}

function OtherValue({ field, mine, theirs, onChoose }) {
  const [text, setText] = useState('')
  const isNumber = typeof (mine ?? theirs) === 'number'
  const isYesOrNo = typeof (mine ?? theirs) === 'boolean'
  if (isYesOrNo) return null // There is no third value.
  const choose = (event) => {
    event.preventDefault()
    const value = new FormData(event.target).get(field === 'status' ? 'status' : 'value')
    onChoose(isNumber ? Number(value) : value)
  }
  const label = `Other value for ${labelOf(field)}`
  return (
    <form class="inline" onSubmit={choose}>
      {field === 'status' ? (
        <Status value={theirs} aria-label={label} />
      ) : (
        <input name="value" aria-label={label} placeholder="Other value" required type={isNumber ? 'number' : 'text'} step="any" value={text} onInput={(event) => setText(event.target.value)} />
      )}
      <button>Use this</button>
    </form>
  )
}

function Rejected({ device, edit, onEdit }) {
  const { table, id, method, values, problem } = edit
  const name = values.name ?? nameOf(device, edit)
  const canChange = table === 'tasks' && method !== 'DELETE'
  return (
    <section class="rejected" aria-label={`Refused: ${name}`}>
      <h3>
        <span class="sort">Refused</span> {verbOf(method)}: {name}
      </h3>
      {method === 'PATCH' && <p>{fieldsIn(values)}</p>}
      <p>
        {reasonIn(problem)} <span class="code">({problem.code})</span>
      </p>
      <p>{adviceFor(edit)}</p>
      <div class="inline">
        {canChange && <button onClick={() => onEdit(id)}>Change it</button>}
        <button onClick={() => device.discard(edit)}>Discard my edit</button>
      </div>
    </section>
  )
}

/** Unsent edits of a row that is gone. Those of a project that is gone can only be dropped here: the page has one project. */
function Aside({ device, edit }) {
  const { table, row, values, created } = edit
  const name = row.name ?? edit.id
  const canRestore = device.status.value.state !== 'gone' && (table === 'tasks' || table === 'dependencies' || table === 'calendars')
  return (
    <section class="aside" aria-label={`Set aside: ${name}`}>
      <h3>
        <span class="sort">Set aside</span> {name}
      </h3>
      <p>
        {asideReasonIn(edit)} {created ? `You created this ${kindOf(table)}, and it was not sent yet.` : `Your unsent edit: ${fieldsIn(values)}.`}
      </p>
      <div class="inline">
        {canRestore && <button onClick={() => device.restore(edit)}>Restore as a new {kindOf(table)}</button>}
        <button onClick={() => device.drop(edit)}>Drop my edit</button>
      </div>
    </section>
  )
}
