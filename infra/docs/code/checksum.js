// [rows, sum, sum] of rows with `id` and `server_version`. Compare it with `checksum[table]` of the response.
export function checksum(rows) {
  const sum = (factor) => rows.reduce((sum, { id, server_version }) => {
    let hash = 0
    for (const char of `${server_version}@${id};`) {
      hash = Math.imul(hash ^ char.charCodeAt(0), factor)
      hash ^= hash >>> 15
    }
    return (sum + hash) >>> 0
  }, 0)
  return [rows.length, sum(0x9e3779b1), sum(0x85ebca77)]
}
