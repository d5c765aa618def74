import { useEffect } from 'preact/hooks'
import { signal } from '@preact/signals'
import { DevicePane } from './device-pane.jsx'
import { ServerPane } from './server-pane.jsx'
import { TroublePane } from './trouble.jsx'
import { VersionsPane } from './versions.jsx'
import { devices, outage, server } from './state.js'

const panes = [
  { id: 'server', label: 'Server', view: () => <ServerPane /> },
  { id: 'a', label: 'Device A', view: () => <DevicePane device={devices[0]} /> },
  { id: 'b', label: 'Device B', view: () => <DevicePane device={devices[1]} /> },
  { id: 'versions', label: 'Versions', view: () => <VersionsPane /> },
  { id: 'trouble', label: 'Scenarios', view: () => <TroublePane /> },
]

const chosen = signal('server')
const media = matchMedia('(max-width: 899px)')
const narrow = signal(media.matches)

export function App() {
  useEffect(() => {
    const changed = () => (narrow.value = media.matches)
    media.addEventListener('change', changed)
    return () => media.removeEventListener('change', changed)
  }, [])
  const title = server.value?.project?.name
  return (
    <>
      <header class="top">
        <h1>
          TruePPM sync <span class="quiet">two devices and a server</span>
        </h1>
        <p class="project-name">{title}</p>
      </header>
      {outage.value && (
        <p class="outage" role="alert">
          {outage.value} Check that <code>trueppm demo</code> is still running.
        </p>
      )}
      {narrow.value && <Tabs />}
      <main class={narrow.value ? 'one' : 'all'}>
        {panes.map(({ id, label, view }) => (
          <Pane key={id} id={id} label={label}>
            {view()}
          </Pane>
        ))}
      </main>
    </>
  )
}

/** On a phone one of the tabs' panels, else a region of its own. Hidden ones stay as they are. */
function Pane({ id, label, children }) {
  const role = narrow.value ? { role: 'tabpanel', 'aria-labelledby': `tab-${id}` } : { 'aria-label': label }
  return (
    <section id={`pane-${id}`} class={`pane pane-${id}`} hidden={narrow.value && chosen.value !== id} {...role}>
      {children}
    </section>
  )
}

function Tabs() {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -panes.length, End: panes.length }[event.key]
    if (!step) return
    event.preventDefault()
    const index = panes.findIndex(({ id }) => id === chosen.value) + step
    const next = Math.abs(step) === 1 ? (index + panes.length) % panes.length : step > 0 ? panes.length - 1 : 0
    chosen.value = panes[next].id
    document.getElementById(`tab-${panes[next].id}`)?.focus()
  }
  return (
    <nav aria-label="Panes" class="tabs">
      <div role="tablist" onKeyDown={move}>
        {panes.map(({ id, label }) => (
          <button
            key={id}
            id={`tab-${id}`}
            role="tab"
            aria-selected={chosen.value === id}
            aria-controls={`pane-${id}`}
            tabIndex={chosen.value === id ? 0 : -1}
            onClick={() => (chosen.value = id)}
          >
            {label}
          </button>
        ))}
      </div>
    </nav>
  )
}
