/** A problem as the server sends it (RFC 9457), or one that this package found. */
export interface Problem {
  /** A stable code for programs. */
  code: string
  /** A message for people. */
  detail: string
  /** The status of the answer, if the server gave one. */
  status?: number
  errors?: { field: string; message: string }[]
  conflict_fields?: string[]
  server_value?: Record<string, unknown>
  client_value?: Record<string, unknown>
  server_version?: number
  [more: string]: unknown
}

/** The reason why something could not be synced. */
export class SyncError extends Error {
  override readonly name = 'SyncError'
  readonly code: string
  readonly problem: Problem
  /** Seconds that the server asked to wait. */
  readonly retryAfter: number | undefined

  constructor(code: string, detail: string, more: Partial<Problem> = {}, retryAfter?: number) {
    super(`${code}: ${detail}`)
    this.code = code
    this.problem = { ...more, code, detail }
    this.retryAfter = retryAfter
  }
}

/** Any error as a problem that can be shown and stored. */
export function problemOf(error: unknown): Problem {
  if (error instanceof SyncError) return error.problem
  return { code: 'client_error', detail: error instanceof Error ? `${error.name}: ${error.message}` : String(error) }
}
