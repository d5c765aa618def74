// For each rule, a change that leaves it out. The fuzz must notice it. `find` is text of a source file.

const one = (rule, file, find, replace) => ({ rule, edits: [{ file, find, replace }] })

export const mutants = [
  // Bases and acknowledgements
  one('base-per-field', 'bases.ts', 'if (versions.every((version) => version === base_version)) return', 'return'),
  one('ack-is-base', 'bases.ts', 'return Math.max(acked, kept, insisted)', 'return Math.max(kept, insisted)'),
  one('base-over-pulls', 'bases.ts', 'keptBases(raw)[column] ?? raw.server_version', 'raw.server_version'),
  one('insist-at-version', 'bases.ts', 'return Math.max(acked, kept, insisted)', 'return Math.max(acked, kept)'),
  one('ack-by-field', 'bases.ts', 'return { ...ack, fields }', 'return ack'),
  one('ack-ends-with-row', 'bases.ts', 'if (!ack || raw.server_version > ack.v) return null', 'if (!ack) return null\n  return ack'),
  one('own-columns-only', 'bases.ts', 'table.columns.includes(column) && !accepted(column)', '!accepted(column)'),
  one('bases-of-deletions', 'request.ts', ', ...basesOf(state, table, raw, table.columns) }', ' }'),
  one('own-content-is-seen', 'settle.ts', 'if (typed && columns', 'if (typed && columns.length < 0 && columns'),
  one('never-there-is-deleted', 'settle.ts', "if (problem.status === 404 && method === 'DELETE')", "if (problem.status === 999 && method === 'DELETE')"),
  // Sending
  one('request-is-stored', 'project.ts', `    await this.store.update((draft) => {
      draft.request = request
    })
    await this.#settle()`, `    Object.assign(this.store.state, { request })
    await this.#settle()`),
  one('same-key', 'project.ts', 'this.#deps.api.send(this.id, request)', 'this.#deps.api.send(this.id, { ...request, key: this.#deps.newKey() })'),
  one('settle-first', 'project.ts', `      await this.#settle()
      await forgetNeverSent`, '      await forgetNeverSent'),
  one('pull-before-settle', 'project.ts', `      await this.#settle()
      await forgetNeverSent`, `      if (this.store.state.request) await this.#pull()
      await this.#settle()
      await forgetNeverSent`),
  one('outcome-in-one-write', 'project.ts', 'await this.store.update((draft) => enterResults(', 'await this.store.update((draft) => {\n draft.request = null\n })\n      await this.store.update((draft) => enterResults('),
  one('own-project-only', 'rows.ts', '([...ours, ...where] as never[])', '(where as never[])'),
  one('too-large-stays-here', 'request.ts', 'if (bytes <= MAX_BATCH_BYTES) return null', 'if (bytes) return null'),
  one('too-large-for-a-gateway', 'project.ts', '  if (status === 413) return true\n', ''),
  one('one-tab', 'lock.ts', 'resolve(granted !== null)', 'resolve(true)'),
  // Several projects
  one('failed-comes-last', 'retries.ts', 'return [...[...all].filter((id) => !this.#failed.has(id)), ...last]', 'return last.length < 0 ? last : [...all]'),
  one('of-one-project', 'retries.ts', '(status >= 500 && !OF_ONE_PROJECT.includes(code))', 'status >= 500 || OF_ONE_PROJECT.includes(code)'),
  one('others-were-served', 'retries.ts', 'isGeneral && !isReachable && !failsAlone', 'isGeneral && !failsAlone'),
  one('known-to-fail-alone', 'retries.ts', "return failsAlone ? 'not asked' : 'unanswered'", "return 'unanswered'"),
  one('pause-of-its-own', 'retries.ts', '    this.#pause(project, retryAfter)\n', "    return 'outage'\n"),
  one('pause-is-kept', 'sync.ts', '    if (this.#retries.isPaused(project)) return\n', ''),
  one('asked-wait-is-kept', 'sync.ts', '(id) => !this.#retries.mustWait(id)', '() => true'),
  one('tried-again-by-itself', 'sync.ts', '    for (const id of this.#retries.due()) this.#wanted.add(id)\n', ''),
  one('pause-outlives-a-sync', 'sync.ts', 'if (next !== null) this.#schedule.retryIn(next)', 'void next'),
  one('all-after-an-outage', 'sync.ts', '    if (outage) this.#allDueAt = 0\n', ''),
  // Refusals and conflicts
  one('refused-waits', 'request.ts', 'if (!parked || parked.print !== printOf(operation)) return false', 'return false'),
  one('activity-wakes', 'request.ts', 'if (parked.activity === activity) return true', 'return true'),
  one('activity-before-request', 'settle.ts', 'if (accepted) draft.activity += 1', 'if (accepted) {\n draft.activity += 1\n for (const parked of Object.values(draft.parked)) parked.activity = draft.activity\n }'),
  one('conflict-waits', 'request.ts', 'const held = state.conflicts[key]?.fields ?? {}', 'const held = {}'),
  one('conflict-by-field', 'request.ts', '!coupledWith(table.name, column).some((other) => other in held) &&', '!Object.keys(held).length &&'),
  one('coupled-fields-wait', 'request.ts', 'coupledWith(table.name, column).some((other) => other in held)', '(column in held)'),
  one('following-fields-are-sent', 'request.ts', 'const values = withFollowing(table.name, patch)', 'const values = patch'),
  one('following-fields-keep-their-base', 'resolver.ts', 'new Set(changed.flatMap((column) => coupledWith(table.name, column)))', 'new Set(changed)'),
  one('following-fields-have-their-own-base', 'bases.ts', 'keptBases(raw)[column] ?? raw.server_version', "keptBases(raw)[column === 'duration' && 'is_milestone' in keptBases(raw) && !changedColumns(raw).includes(column) ? 'is_milestone' : column] ?? raw.server_version"),
  one('given-up-is-fetched', 'pull.ts', 'if (row) found.push([table, row])', 'if (row) continue'),
  one('given-up-by-value', 'resolver.ts', 'if (column in given && given[column] === local[column]) return false', 'if (column in given) return false'),
  one('taken-intents', 'arrival.ts', '  for (const [column, value] of Object.entries(givenUp[key] ?? {})) if', '  delete draft.fetch[key]\n  return\n  for (const [column, value] of Object.entries(givenUp[key] ?? {})) if'),
  one('take-back-once', 'pull.ts', "if (raw && (raw._status !== 'deleted' || raw.server_version !== given['*']))", 'if (raw && raw.id === "")'),
  one('deleted-meanwhile', 'decisions.ts', "raw._status === 'deleted' && !open.deleting", "raw._status === 'deleted' && raw.id === ''"),
  one('no-discard-on-its-way', 'decisions.ts', 'if (isOnItsWay) throw', 'if (isOnItsWay && id === "") throw'),
  // Pulling
  one('mark-after-rows', 'pull.ts', '  await upsert(context, arrived, givenUp)', '  await context.store.update((draft) => {\n    draft.mark = arrivals.timestamp\n  })\n  await upsert(context, arrived, givenUp)'),
  one('delta-is-whole', 'pull.ts', 'if (!isFirst) return await collectFrom(context, mark, false)\n', ''),
  one('looking-and-destroying', 'removal.ts', `    await rows.destroy(found)
  })
}

/** Keeps`, `  })
  await database.write(async () => {
    const again: Row[] = []
    for (const [table, ids] of victims) for (const raw of await rows.byIds(table, ids)) again.push({ table, raw })
    await rows.destroy(again)
  })
}

/** Keeps`),
  one('aside', 'removal.ts', '  if (!unsent.length) return', '  return'),
  one('acks-end-after-rows', 'removal.ts', 'for (const { table, raw } of found) setAside(draft, table, raw, reason)\n    })\n    await rows.destroy(found)\n  })\n}\n\n/** Keeps', 'for (const { table, raw } of found) setAside(draft, table, raw, reason)\n      for (const { table, raw } of found) delete draft.acks[`${table.name}/${raw.id}`]\n    })\n    await rows.destroy(found)\n  })\n}\n\n/** Keeps'),
  one('replacement-of-all-pages', 'pull.ts', 'while (arrivals.hasMore)', 'while (arrivals.hasMore && !isWhole)'),
  one('lost-mark-replaces', 'pull.ts', 'anew || hasNewColumns || lostItsMark', 'anew || hasNewColumns'),
  one('new-columns-are-pulled', 'pull.ts', 'anew || hasNewColumns || lostItsMark', 'anew || lostItsMark'),
  one('came-back', 'resolver.ts', 'return !!accepted && accepted.value === local[column] && remote.server_version >= accepted.v', 'return !!accepted && column === ""'),
  one('came-back-not-before', 'resolver.ts', ' && remote.server_version >= accepted.v', ''),
  one('equal-to-remote', 'resolver.ts', 'return !table.columns.includes(column) || local[column] !== (remote[column] ?? null)', 'return true'),
  one('created-returns', 'resolver.ts', "if (local._status === 'deleted') return resolved", "if (local._status === 'deleted' || local._status === 'created') return resolved"),
  one('bases-are-kept', 'resolver.ts', 'const base_version = isEmpty(bases) ? null : JSON.stringify(bases)', 'const base_version = null'),
  one('void-acks', 'arrival.ts', 'if (arrival.isFinal) voidAcks(draft, local, arrival.timestamp)', ''),
  one('resync-drops-acks', 'pull.ts', '      draft.acks = {}', ''),
  one('columns-of-pages', 'pull.ts', 'const had = columns || columnsOfPages', 'const had = columns'),
  one('old-mark-tells-of-restore', 'pull.ts', '      if (mark > 0 && !isEmpty(store.state.acks)) await page(context, mark)\n', ''),
  one('shadows', 'arrival.ts', 'if (row && row.raw.server_version !== server_version) draft', 'if (row && key === "") draft'),
  one('local-edits-settle', 'arrival.ts', 'if (!isSettled(table, raw)) continue', 'if (!isSettled(table, raw) || raw.id) continue'),
  one('clean-when-it-comes-back', 'arrival.ts', '!((ackOf(store.state, table, raw)?.v ?? 0) > raw.server_version)', 'true'),
  one('respelt-text-is-fetched', 'arrival.ts', 'if (texts.length) respelt', 'if (texts.length < 0) respelt'),
  one('repair-after-restart', 'project.ts', 'this.store.state.broken && this.#hasRepaired', 'this.store.state.broken'),
  one('older-rows-stay-away', 'pull.ts', '(here.get(id) ?? 0) <= server_version', 'server_version > 0'),
  one('settled-without-a-pull', 'project.ts', 'if (dirty) await settleRows(this.#context)', 'void dirty'),
  one('checksum', 'project.ts', 'if (!expected) return null', 'return null'),
  one('checksum-without-created', 'project.ts', "filter((raw) => raw._status !== 'created')", 'filter(() => true)'),
  one('checksum-with-deleted', 'project.ts', "filter((raw) => raw._status !== 'created')", "filter((raw) => raw._status === 'synced' || raw._status === 'updated')"),
  one('wipe-sets-aside', 'removal.ts', "setAside(draft, table, raw, reason)\n      draft.status = 'leaving'", "void [table, raw]\n      draft.status = 'leaving'"),
  one('leaving-is-finished', 'project.ts', "if (status === 'leaving' || left.size) await wipe", 'if (left.size < 0) await wipe'),
  one('gone-is-asked-about', 'pull.ts', '    await expectAccess(context, arrivals)\n', ''),
  one('gone-at-403', 'project.ts', "const GONE = ['membership_revoked', 'not_a_member', 'project_deleted']", "const GONE = ['project_deleted']"),
]
