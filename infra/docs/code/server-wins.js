/** As Auto Merge: where two users changed the same field, the server's value stays. Call it once, beside `sync.start()`. */
export const letServerWin = (sync) => sync.conflicts$.subscribe(async (conflicts) => {
  const fields = conflicts.filter(({ field }) => field !== null)
  for (const conflict of fields) await sync.resolve(conflict, 'theirs')
  if (fields.length) await sync.now()
})
