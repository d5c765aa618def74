import assert from 'node:assert/strict'
import { checksum } from './pages.mjs'
import { schema, tables } from './schema.mjs'
import { request, syncPath } from './server.mjs'

/** Checks the form of a successful answer to a pull. WatermelonDB itself would notice few of these faults. */
export function assertProtocol(body) {
  const { changes, timestamp, has_more, row_counts, checksum, ...rest } = body
  assert.deepEqual(rest, {})
  assert.ok(!has_more || !checksum, 'a page has no checksum')
  assert.ok(has_more || !row_counts, 'only a page has row counts')
  assert.ok(Number.isSafeInteger(timestamp) && timestamp > 0, `timestamp ${timestamp}`)
  if ('has_more' in body) assert.equal(has_more, true)
  assert.deepEqual(Object.keys(changes).sort(), [...tables].sort())
  for (const [table, change] of Object.entries(changes)) {
    assert.deepEqual(Object.keys(change).sort(), ['created', 'deleted', 'updated'])
    assert.deepEqual(change.created, [])
    const ids = [...change.updated.map((row) => row.id), ...change.deleted]
    assert.equal(new Set(ids).size, ids.length, `${table}: an id twice in one answer`)
    for (const id of ids) assert.match(id, /^[A-Za-z0-9_-]{1,64}$/)
    for (const row of change.updated) assertColumns(table, row)
  }
}

/** A row in a pull has exactly the columns of the model, each of its type, null written out. */
function assertColumns(table, row) {
  const { columns } = schema.tables[table]
  assert.deepEqual(Object.keys(row).sort(), ['id', ...Object.keys(columns)].sort())
  for (const { name, type, isOptional } of Object.values(columns)) {
    const fits = typeof row[name] === type || (isOptional && row[name] === null)
    assert.ok(fits, `${table}.${name} is ${JSON.stringify(row[name])}, not a ${type}`)
  }
}

/** Row by row and column by column, the device holds what REST shows, and the server has nothing more for it. */
export async function assertDeviceEqualsServer(device) {
  for (const table of tables) {
    assert.deepEqual(await deviceRows(device, table), await serverRows(device.project, table), table)
  }
  await assertNothingMore(device)
}

/** After a page: the device is complete up to the page's mark and holds nothing newer. */
export async function assertDeviceCompleteUpTo(device, mark) {
  assert.equal(await device.cursor(), mark)
  for (const table of tables) {
    const held = await deviceRows(device, table)
    for (const [id, row] of await serverRows(device.project, table)) {
      if (row.server_version <= mark) assert.deepEqual(held.get(id), row, `${table} ${id} at ${mark}`)
    }
    for (const row of held.values()) assert.ok(row.server_version <= mark, `${table} ${row.id} is newer than ${mark}`)
  }
}

/** What the app computes of a device, table by table, with the code of the pages. */
export async function checksumOf(device) {
  const sums = async (table) => [table, checksum(await device.database.get(table).query().unsafeFetchRaw())]
  return Object.fromEntries(await Promise.all(tables.map(sums)))
}

/** A pull from the device's own mark is empty and answers the same mark, with the checksum of what the device holds. */
async function assertNothingMore(device) {
  const mark = await device.cursor()
  const response = await request(device.token, syncPath(device.project, mark))
  const nothing = { created: [], updated: [], deleted: [] }
  assert.deepEqual(await response.json(), {
    changes: Object.fromEntries(tables.map((table) => [table, nothing])),
    timestamp: mark,
    checksum: await checksumOf(device),
  })
}

async function deviceRows(device, table) {
  const rows = await device.rows(table)
  for (const [id, { _status, _changed, ...row }] of rows) {
    assert.deepEqual({ _status, _changed }, { _status: 'synced', _changed: '' }, `${table} ${id}`)
    rows.set(id, withParsedExceptions(row))
  }
  return rows
}

const serverRows = async (project, table) => byId(await project.list(table))

/** A calendar's exceptions are a JSON string on the device and an array in REST. */
const withParsedExceptions = (row) => ('exceptions' in row ? { ...row, exceptions: JSON.parse(row.exceptions) } : row)

export function byId(rows) {
  const map = new Map(rows.map((row) => [row.id, row]))
  assert.equal(map.size, rows.length, 'an id twice')
  return map
}
