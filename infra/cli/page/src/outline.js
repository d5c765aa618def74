// The order of the tasks of a plan.

const collator = new Intl.Collator('en', { numeric: true })

/** 1.2 before 1.10; without a place in the outline last; then by name. */
export const byOutline = (one, other) =>
  (one.wbs_path === null) - (other.wbs_path === null) ||
  collator.compare(one.wbs_path ?? '', other.wbs_path ?? '') ||
  collator.compare(one.name, other.name) ||
  (one.id < other.id ? -1 : 1)
