import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks'
import { marks, schedule } from './schedule.js'
import { server, tasks } from './state.js'

const ROW = 30
const HEAD = 26
/** The number of rows that are drawn beyond the visible ones. */
const BEYOND = 6

/** The width of an element, and what of it is scrolled into view. */
export function useView() {
  const element = useRef(null)
  const [view, setView] = useState({ width: 0, height: 0, top: 0, left: 0 })
  useLayoutEffect(() => {
    const node = element.current
    const look = () => {
      setView((was) => {
        const now = { width: node.clientWidth, height: node.clientHeight, top: node.scrollTop, left: node.scrollLeft }
        return Object.keys(now).every((name) => now[name] === was[name]) ? was : now
      })
    }
    const observer = new ResizeObserver(look)
    observer.observe(node)
    node.addEventListener('scroll', look, { passive: true })
    look()
    return () => {
      observer.disconnect()
      node.removeEventListener('scroll', look)
    }
  }, [])
  return [element, view]
}

/** The tasks as an outline, their bars on a time axis, the dependencies between them. Draws what is in view. */
export function Plan({ onEdit }) {
  const [element, view] = useView()
  const bars = useMemo(() => schedule(server.value), [server.value])
  const rows = tasks.value
  const outline = Math.max(150, Math.min(260, view.width * 0.42))
  const width = Math.max(60, view.width - outline)
  const first = Math.max(0, Math.floor(view.top / ROW) - BEYOND)
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + BEYOND)
  const times = [...bars.values()]
  const from = Math.min(...times.map(({ start }) => start))
  const to = Math.max(from + 7 * 86_400_000, ...times.map(({ end }) => end))
  const x = (time) => 6 + ((time - from) / (to - from)) * (width - 18)
  const months = marks(from, to, Math.max(1, Math.floor(width / 44)))
  return (
    <div class="plan" ref={element} tabIndex={0} role="group" aria-label={`Plan of ${rows.length} tasks`}>
      <div class="plan-head" style={{ height: `${HEAD}px` }}>
        <span style={{ width: `${outline}px` }}>Task</span>
        <svg width={width} height={HEAD} aria-hidden="true">
          {months.map(({ time, label }) => (
            <text key={time} x={x(time) + 3} y={HEAD - 9}>
              {label}
            </text>
          ))}
        </svg>
      </div>
      <div class="plan-body" style={{ height: `${rows.length * ROW}px` }}>
        <ul style={{ width: `${outline}px`, paddingTop: `${first * ROW}px` }}>
          {rows.slice(first, last).map((task) => (
            <li key={task.id} style={{ height: `${ROW}px` }}>
              <button
                class="task"
                style={{ paddingLeft: `${6 + ((task.wbs_path ?? '').split('.').length - 1) * 14}px` }}
                title={task.name}
                onClick={() => onEdit(task.id)}
              >
                <span class="wbs">{task.wbs_path}</span>
                <span class="name">{task.name}</span>
                <span class="unseen">, {task.percent_complete} %</span>
              </button>
            </li>
          ))}
        </ul>
        <svg class="bars" style={{ left: `${outline}px`, top: `${first * ROW}px` }} width={width} height={(last - first) * ROW} viewBox={`0 ${first * ROW} ${width} ${(last - first) * ROW}`} aria-hidden="true">
          {months.map(({ time }) => (
            <line key={time} class="month" x1={x(time)} x2={x(time)} y1={first * ROW} y2={last * ROW} />
          ))}
          {rows.slice(first, last).map((task, index) => (
            <Bar key={task.id} task={task} bar={bars.get(task.id)} x={x} y={(first + index) * ROW} />
          ))}
          <Edges rows={rows} bars={bars} x={x} first={first} last={last} />
        </svg>
      </div>
    </div>
  )
}

function Bar({ task, bar, x, y }) {
  if (!bar) return null
  const left = x(bar.start)
  const middle = y + ROW / 2
  if (task.is_milestone) return <path class="milestone" d={`M${left} ${middle - 7}l7 7l-7 7l-7 -7z`} />
  const width = Math.max(4, x(bar.end) - left)
  return (
    <>
      <rect class="bar-all" x={left} y={middle - 7} width={width} height={14} rx={3} />
      {task.percent_complete > 0 && <rect class="bar-done" x={left} y={middle - 7} width={(width * task.percent_complete) / 100} height={14} rx={3} />}
    </>
  )
}

/** The dependencies of which an end is in view. */
function Edges({ rows, bars, x, first, last }) {
  const places = useMemo(() => new Map(rows.map(({ id }, index) => [id, index])), [rows])
  return (server.value.dependencies ?? []).map(({ id, predecessor, successor, dep_type }) => {
    const [from, to] = [places.get(predecessor), places.get(successor)]
    const inView = (index) => index >= first && index < last
    if (from === undefined || to === undefined || !(inView(from) || inView(to))) return null
    const [earlier, later] = [bars.get(predecessor), bars.get(successor)]
    const milestone = (index) => (rows[index].is_milestone ? 7 : 0)
    const [y1, y2] = [from * ROW + ROW / 2, to * ROW + ROW / 2]
    const [out, into] = [dep_type[0] === 'F' ? 1 : -1, dep_type[1] === 'S' ? -1 : 1]
    const x1 = x(out > 0 ? earlier.end : earlier.start) + out * milestone(from)
    const x2 = x(into < 0 ? later.start : later.end) + into * milestone(to)
    const down = y2 > y1 ? 1 : -1
    const corner = out > 0 && into < 0 && x2 - x1 > 12 ? `H${x2 - 7}V${y2}` : `H${x1 + out * 6}V${y2 - down * (ROW / 2)}H${x2 + into * 7}V${y2}`
    return (
      <g key={id} class="edge">
        <path d={`M${x1} ${y1}${corner}H${x2 + into * 2}`} />
        <path class="tip" d={`M${x2} ${y2}l${into * 5} -3.5v7z`} />
      </g>
    )
  })
}
