// The days on which a task would be worked on. They are only drawn: the server schedules nothing.

const DAY = 86_400_000
const iso = (time) => new Date(time).toISOString().slice(0, 10)

/** The days of a calendar that are worked on, numbered from the project's start. */
class WorkingDays {
  #days = []

  constructor(start, calendar) {
    this.mask = calendar?.working_days ?? 31
    this.holidays = calendar?.exceptions ?? []
    this.next = Date.parse(`${start}T00:00:00Z`)
  }

  #works(time) {
    const day = iso(time)
    const bit = 1 << ((new Date(time).getUTCDay() + 6) % 7)
    return (this.mask & bit) !== 0 && !this.holidays.some(({ start, end }) => start <= day && day <= end)
  }

  /** The time of a working day. */
  at(index) {
    while (this.#days.length <= index) {
      while (!this.#works(this.next)) this.next += DAY
      this.#days.push(this.next)
      this.next += DAY
    }
    return this.#days[Math.max(0, index)]
  }

  /** The number of the first working day that is not before a date. */
  from(date) {
    const time = Date.parse(`${date}T00:00:00Z`)
    let index = 0
    while (index < LAST && this.at(index) < time) index++
    return index
  }
}

const LAST = 40_000

/**
 * The tasks' bars by id: `{ start, end }` in milliseconds. A task begins at its planned start, but not before its dependencies
 * allow it.
 */
export function schedule({ project, tasks = [], dependencies = [], calendars = [] }) {
  if (!project?.start_date) return new Map()
  const days = new WorkingDays(project.start_date, calendars.find(({ id }) => id === project.calendar))
  const before = grouped(dependencies)
  const byId = new Map(tasks.map((task) => [task.id, task]))
  const starts = new Map()
  const start = (task) => {
    if (starts.has(task.id)) return starts.get(task.id)
    let day = task.planned_start ? days.from(task.planned_start) : 0
    starts.set(task.id, day)
    for (const { predecessor, dep_type, lag } of before.get(task.id) ?? []) {
      const earlier = byId.get(predecessor)
      if (!earlier) continue
      const begin = start(earlier)
      const from = dep_type[0] === 'F' ? begin + earlier.duration : begin
      day = Math.max(day, dep_type[1] === 'S' ? from + lag : from + lag - task.duration)
    }
    day = Math.min(day, LAST)
    starts.set(task.id, day)
    return day
  }
  return new Map(
    tasks.map((task) => {
      const day = start(task)
      const end = task.duration ? days.at(Math.min(LAST, day + task.duration - 1)) + DAY : days.at(day)
      return [task.id, { start: days.at(day), end }]
    }),
  )
}

function grouped(dependencies) {
  const groups = new Map()
  for (const edge of dependencies) groups.set(edge.successor, [...(groups.get(edge.successor) ?? []), edge])
  return groups
}

/** The first days of the months, or of the years, between two times: `{ time, label }`. There are at most `most`. */
export function marks(from, to, most) {
  for (const months of [1, 2, 3, 6, 12, 24, 60, 120, 600]) {
    const found = []
    const first = new Date(from)
    for (let month = first.getUTCFullYear() * 12 + first.getUTCMonth() + 1; found.length <= most; month++) {
      if (month % months) continue
      const time = Date.UTC(Math.floor(month / 12), month % 12, 1)
      if (time >= to) return found
      const label = new Date(time).toLocaleDateString('en', months < 12 ? { month: 'short', timeZone: 'UTC' } : { year: 'numeric', timeZone: 'UTC' })
      found.push({ time, label: month % 12 === 0 && months < 12 ? `${Math.floor(month / 12)}` : label })
    }
  }
  return []
}
