// The mock server behind `fetch`: addresses, tokens, headers, JSON.

import { Refusal } from './server.mjs'

/** Does what the request says, at once. Answers `{ status, headers, text }`. */
export function answer(server, url, { method, headers, body }, isTokenGood = () => true) {
  server.requests += 1
  try {
    const user = /^Bearer (.+)$/.exec(headers.Authorization)?.[1]
    if (!user || !isTokenGood(user)) throw new Refusal(401, 'token_expired')
    return route(server, user.split('#')[0], new URL(url, 'http://server'), method, headers, body)
  } catch (error) {
    if (!error.problem) throw error
    return json(error.problem.status, error.problem, { 'content-type': 'application/problem+json' })
  }
}

const json = (status, body, headers = {}) => ({ status, headers, text: body === null ? '' : JSON.stringify(body) })

function route(server, user, { pathname, searchParams }, method, headers, body) {
  if (/^\/api\/v1\/heads\/?$/.test(pathname)) return json(200, server.heads(user, searchParams.get('cursor') ?? ''))
  const [, id, table, rowId] = pathname.replace(/^\/api\/v1\//, '').replace(/\/$/, '').split('/')
  if (!id) return json(200, { results: server.list(user), next: null })
  if (table === 'sync') return json(200, server.pull(user, id, Number(searchParams.get('since')), Number(searchParams.get('min_version') ?? 0)))
  const key = headers['Idempotency-Key']
  if (table === 'batch') {
    const { server_version, ...answer } = server.batch(user, id, key, body)
    return json(200, answer, { 'x-server-version': String(server_version) })
  }
  const [of, at] = table ? [table, rowId] : ['projects', id]
  if (method === 'GET') return json(200, server.get(user, id, of, at))
  const base = {
    ...(headers['X-Base-Version'] !== undefined && { base_version: Number(headers['X-Base-Version']) }),
    ...(headers['X-Base-Fields'] && { base_fields: JSON.parse(headers['X-Base-Fields']) }),
  }
  const { status, row, version, merged } = server.single(user, id, key, method, of, at, body && JSON.parse(body), base)
  return json(status, row, { 'x-server-version': String(version), ...(merged.length && { 'x-merged-concurrent-fields': merged.join(', ') }) })
}

/** A `Response`, as far as the client looks at one. */
export const response = ({ status, headers, text }) => ({
  status,
  headers: { get: (name) => headers[name.toLowerCase()] ?? null },
  text: async () => text,
})
