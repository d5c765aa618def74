// The requests and answers of a phone in one sync, and their counts.

import { readUnits, timings } from './api.js'

/** Exchanges with the server, and sums over the pulls among them. */
export const nothingSent = () => ({ exchanges: [], sent: 0, rows: 0, deleted: 0, bytes: 0, transferred: 0, ms: 0, units: 0, timings: [], checksum: undefined, way: undefined })

export const bringsSomething = ({ sent, rows, deleted, exchanges }) =>
  sent + rows + deleted > 0 || exchanges.some(({ response }) => response.status >= 400)

/** A sync with one more exchange. */
export function withExchange(sync, { method, path, headers, body, user }, answer) {
  const { status, text } = answer
  const answered = parsed(text)
  const request = { method, path, headers: { ...headers, Authorization: `Bearer <token of ${user}>` }, ...(body && { body: parsed(body) }) }
  const response = { status, headers: Object.fromEntries(answer.headers), body: answered }
  const exchanges = [...sync.exchanges, { request, response }]
  if (method !== 'GET') return { ...sync, exchanges, sent: sync.sent + 1 }
  return path.includes('/sync/?') ? withPull({ ...sync, exchanges }, path, answered, answer) : { ...sync, exchanges }
}

function withPull(sync, path, body, { status, headers, text, ms }) {
  const changes = Object.values(body?.changes ?? {})
  const said = timings(headers.get('server-timing'))
  const entry = performance.getEntriesByType('resource').findLast(({ name }) => name.endsWith(path))
  const bytes = new Blob([text]).size
  return {
    ...sync,
    rows: sync.rows + changes.reduce((sum, { updated }) => sum + updated.length, 0),
    deleted: sync.deleted + changes.reduce((sum, { deleted }) => sum + deleted.length, 0),
    bytes: sync.bytes + bytes,
    transferred: sync.transferred + (entry?.encodedBodySize || bytes),
    ms: sync.ms + ms,
    units: sync.units + readUnits(said),
    timings: said,
    checksum: body?.checksum,
    way: said.find(({ name }) => name === 'pull')?.desc ?? `${status} ${body?.code ?? ''}`,
  }
}

const anew = {
  resync_required: 'The server was restored from a backup. The device made a full sync.',
  since_ahead_of_server: 'This is another server than before. The device made a full sync.',
}

/** The part of an answer that the user may want to know, in a sentence, or ''. */
export function newsIn(text) {
  const body = parsed(text)
  if (anew[body?.code]) return anew[body.code]
  const merged = new Set(body?.results?.flatMap?.(({ merged_fields }) => merged_fields ?? []))
  return merged.size ? `Merged with other changes to ${[...merged].join(', ')}.` : ''
}

function parsed(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
