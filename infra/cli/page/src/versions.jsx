import { useLayoutEffect, useState } from 'preact/hooks'
import { computed } from '@preact/signals'
import { useView } from './plan.jsx'
import { number } from './scenarios.js'
import { backup, commits, devices, history } from './state.js'

const HEIGHT = 96
/** Where the flags end and the ticks are. */
const LINE = 46
const TICK = 24
const EDGE = 40

/**
 * The ticks of the line, in order: one for each version of a row, and one for each range of versions that no row has: skipped by
 * a restore, silent (a row's version history does not list them any more), or missing (being written, or lost).
 */
export const line = computed(() => {
  if (!history.value) return []
  const { current, skipped, silent_below, versions } = history.value
  const places = []
  const ranges = skipped.map(([first, last]) => ({ version: last, first, fate: 'skipped' }))
  const held = [...versions, ...ranges].sort((one, other) => one.version - other.version)
  let next = 1
  const gap = (last) => {
    if (next <= last) places.push({ version: last, first: next, fate: last < silent_below ? 'silent' : 'missing' })
  }
  for (const tick of held) {
    gap((tick.first ?? tick.version) - 1)
    places.push(tick)
    next = tick.version + 1
  }
  gap(current)
  return places
})

/** The commit of a version, if this server has seen it. */
const commitOf = (version) => commits.value.find(({ versions: [first, last] }) => first <= version && version <= last)

/** The place of the newest version that is not above a mark; -1 before the first. */
function placeOf(mark) {
  let [low, high] = [0, line.value.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (line.value[middle].version <= mark) low = middle + 1
    else high = middle
  }
  return low - 1
}

const fates = {
  current: 'current',
  superseded: 'superseded',
  tombstone: 'a tombstone',
}
const ofNone = {
  skipped: 'skipped by a restore; no row has them',
  silent: 'superseded, and too old for the version history of their rows',
  missing: 'in no row that was read; they are being written, or lost',
}

function described(place) {
  if (!place) return 'No version yet.'
  if (place.first !== undefined) {
    const range = place.first === place.version ? `Version ${number(place.first)}` : `Versions ${number(place.first)} to ${number(place.version)}`
    return `${range}: ${ofNone[place.fate]}.`
  }
  const commit = commitOf(place.version)
  const with_ = commit && commit.versions[0] < commit.versions[1] ? `, versions ${number(commit.versions[0])} to ${number(commit.versions[1])}` : ''
  const by = commit
    ? `Commit at ${new Date(commit.at).toLocaleTimeString('en', { hour12: false })}${with_}: ${commit.request ?? 'by an operator’s command'}.`
    : 'Committed before this server was started.'
  const held = devices.map(({ name, mark }) => `${name} ${mark.value >= place.version ? 'has' : 'lacks'} it`).join(', ')
  return `Version ${number(place.version)}: ${place.collection} ${place.name || place.id}, ${fates[place.fate]}. ${by} ${held}.`
}

export function VersionsPane() {
  const [element, view] = useView()
  const [chosen, choose] = useState(null)
  const places = line.value
  const pitch = Math.max(7, Math.min(18, (view.width - 2 * EDGE) / Math.max(1, places.length)))
  const width = Math.max(view.width, places.length * pitch + 2 * EDGE)
  const x = (index) => EDGE + index * pitch
  const first = Math.max(0, Math.floor((view.left - EDGE) / pitch) - 4)
  const last = Math.min(places.length, Math.ceil((view.left + view.width) / pitch) + 4)
  const index = Math.min(chosen ?? places.length - 1, places.length - 1)
  useLayoutEffect(() => {
    // Scroll to the newest version.
    if (chosen === null) element.current.scrollLeft = width
  }, [width, chosen === null])
  const show = (index) => {
    const next = Math.max(0, Math.min(places.length - 1, index))
    choose(next)
    const node = element.current
    if (x(next) < node.scrollLeft + EDGE) node.scrollLeft = x(next) - EDGE
    if (x(next) > node.scrollLeft + node.clientWidth - EDGE) node.scrollLeft = x(next) - node.clientWidth + EDGE
  }
  const keys = { ArrowLeft: -1, ArrowRight: 1, PageUp: 10, PageDown: -10, Home: -places.length, End: places.length }
  const onKeyDown = (event) => {
    if (!(event.key in keys)) return
    event.preventDefault()
    show(index + keys[event.key])
  }
  const onPointer = (event) => {
    const at = event.clientX - event.currentTarget.getBoundingClientRect().left
    const hit = Math.floor((at - EDGE) / pitch)
    if (hit >= 0 && hit < places.length) choose(hit)
  }
  const commit = places[index] && places[index].first === undefined ? commitOf(places[index].version) : undefined
  const text = described(places[index])
  return (
    <>
      <div class="bar">
        <h2>Versions</h2>
        <Legend />
      </div>
      <div
        class="line"
        ref={element}
        tabIndex={0}
        role="slider"
        aria-label="Version"
        aria-valuemin={0}
        aria-valuemax={history.value?.current ?? 0}
        aria-valuenow={places[index]?.version ?? 0}
        aria-valuetext={text}
        onKeyDown={onKeyDown}
      >
        <svg width={width} height={HEIGHT} aria-hidden="true" onPointerMove={onPointer} onPointerDown={onPointer} onPointerLeave={() => choose(null)}>
          {devices.map(({ name, mark }) => {
            const from = x(placeOf(mark.value) + 1)
            return <rect key={name} class={`toward toward-${name}`} x={from} y={name === 'A' ? LINE - 9 : LINE - 5} width={Math.max(0, x(places.length) - from)} height={3} />
          })}
          {places[index] && <rect class="chosen" x={x(index) - 1} y={LINE - 1} width={pitch + 1} height={TICK + 2} rx={3} />}
          {places.slice(first, last).map((place, offset) => (
            <Tick key={place.version} place={place} x={x(first + offset)} width={pitch - (pitch > 9 ? 4 : 2)} />
          ))}
          {commit && <path class="commit" d={`M${x(Math.max(0, placeOf(commit.versions[0])))} ${LINE + TICK + 4}v4H${x(placeOf(commit.versions[1]) + 1) - 2}v-4`} />}
          <Numbers places={places} x={x} pitch={pitch} first={first} last={last} />
          <Flags x={x} width={width} />
        </svg>
      </div>
      <p class="told" data-version={places[index]?.version}>
        {text}
      </p>
    </>
  )
}

function Tick({ place, x, width }) {
  if (place.first !== undefined) {
    return (
      <g class={`tick none ${place.fate}`}>
        <path d={`M${x + width / 2} ${LINE + 4}v${TICK - 8}`} />
      </g>
    )
  }
  return (
    <g class={`tick ${place.collection} ${place.fate}`}>
      <rect x={x} y={LINE} width={width} height={TICK} rx={2} />
      {place.fate === 'tombstone' && <path d={`M${x + 1} ${LINE + TICK / 2 - width / 2 + 1}l${width - 2} ${width - 2}m0 ${2 - width}l${2 - width} ${width - 2}`} />}
    </g>
  )
}

/** Some versions by number, as many as there is room for. */
function Numbers({ places, x, pitch, first, last }) {
  const shown = []
  let free = -Infinity
  const put = (index) => {
    const text = number(places[index].version)
    const width = text.length * 6.5 + 10
    if (x(index) - width / 2 < free) return
    free = x(index) + width / 2
    shown.push(
      <text key={places[index].version} x={x(index) + pitch / 2 - 1} y={HEIGHT - 6}>
        {text}
      </text>,
    )
  }
  const step = Math.max(1, Math.ceil(50 / pitch))
  for (let index = Math.ceil(first / step) * step; index < last; index += step) put(index)
  return shown
}

/** The head and each device's mark. */
function Flags({ x }) {
  const { current } = history.value ?? { current: 0 }
  const flags = [
    ...devices.map(({ name, mark, pokes }) => ({ name, text: name, at: mark.value, y: 20, pokes: pokes.value })),
    ...(backup.value ? [{ name: 'backup', text: 'backup', at: backup.value.version, y: 3 }] : []),
    { name: 'head', text: 'server', at: current, y: 3 },
  ]
  return flags.map(({ name, text, at, y, pokes = 0 }) => {
    const pole = x(placeOf(at) + 1) - 1
    const width = text.length * 7 + 10
    // A to the left of its pole and B to the right, so that both can be seen at one version.
    const left = name === 'A' || name === 'head' ? pole - width : pole
    return (
      // Each poke makes a new element, so that its flash starts again.
      <g key={`${name} ${pokes}`} class={`flag-${name} ${pokes ? 'poked' : ''}`} data-pokes={pokes}>
        <path class="pole" d={`M${pole} ${y}V${LINE + TICK}`} />
        <rect x={left} y={y} width={width} height={15} rx={2} />
        <text x={left + width / 2} y={y + 11.5}>
          {text}
        </text>
      </g>
    )
  })
}

function Legend() {
  const tick = (kind) => (
    <svg width={12} height={16} viewBox={`-1 ${LINE - 1} 12 ${TICK + 2}`} aria-hidden="true">
      <Tick place={kind} x={0} width={10} />
    </svg>
  )
  return (
    <ul class="legend">
      {['projects', 'tasks', 'dependencies', 'calendars', 'memberships'].map((collection) => (
        <li key={collection}>
          {tick({ collection, fate: 'current' })} {collection}
        </li>
      ))}
      <li>{tick({ collection: 'tasks', fate: 'superseded' })} superseded</li>
      <li>{tick({ collection: 'tasks', fate: 'tombstone' })} tombstone</li>
    </ul>
  )
}
