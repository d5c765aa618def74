// The page in a real browser: what its user does, and what it then shows.

import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { address, axeSource, eventually, openPage, rest, Screen } from './stack.mjs'

/** Opens the page on a fresh project; afterwards the console must be empty and nothing foreign asked for. */
function look(name, options, play) {
  test(name, async () => {
    const opened = await openPage(options)
    try {
      await play({ ...opened, screen: new Screen(opened.page) })
      assert.deepEqual(opened.complaints, [], 'the console')
      assert.deepEqual(opened.foreign, [], 'requests to elsewhere')
    } finally {
      await opened.close()
    }
  })
}

const taskOf = async (id, task) => (await rest(id, `tasks/${task}/`)).body

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 390]) {
    look(`nothing is wrong for those who cannot see it, ${width} px, ${colorScheme}`, { width, height: width < 900 ? 844 : 1100, colorScheme }, async ({ page, screen }) => {
      await page.evaluate(axeSource)
      const check = async (where) => {
        const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
        const told = violations.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n')}`)
        assert.deepEqual(told, [])
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${where}: wider than the window`)
      }
      const shoot = async (where) => {
        if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${width}-${colorScheme}-${where}.png`, fullPage: width > 900 })
      }
      // Then A has a refused edit, and B a conflict and an edit that was set aside.
      const trouble = async () => {
        await screen.trouble('Edit on both devices offline')
        await screen.trouble('The server refuses one of three edits')
      }
      if (width > 900) {
        await trouble()
        await check('all')
        await shoot('all')
      } else {
        for (const tab of ['Scenarios', 'Versions', 'Device A', 'Device B', 'Server']) {
          await page.getByRole('tab', { name: tab }).click()
          if (tab === 'Scenarios') await trouble()
          await check(tab)
          await shoot(tab)
        }
      }
      await page.locator('.task').nth(1).click()
      await check('a task')
      await shoot('task')
      await page.keyboard.press('Escape')
      if (width < 900) await page.getByRole('tab', { name: 'Device B' }).click()
      await screen.device('B').getByRole('button', { name: 'Last sync as JSON' }).click()
      await check('the last sync')
      await shoot('wire')
    })
  }
}

look('what is changed offline is merged on return, and the other device gets it', {}, async ({ page, id, screen }) => {
  await screen.set('A', 'Online', false)
  await screen.edit('A', 'Timber frame', { 'Complete, %': '35' })
  await screen.device('A').getByLabel('New task on device A').fill('Made offline')
  await screen.device('A').getByLabel('New task on device A').press('Enter')
  const outbox = screen.device('A').locator('.outbox li')
  assert.equal(await outbox.count(), 2)
  assert.match(await screen.device('A').locator('.phone-task', { hasText: 'Timber frame' }).innerText(), /waiting/)
  assert.equal((await taskOf(id, 'frame')).percent_complete, 0, 'offline is offline')
  const renamed = await rest(id, 'tasks/frame/', { method: 'PATCH', body: JSON.stringify({ name: 'Oak frame' }) })
  assert.equal(renamed.status, 200)

  await screen.set('A', 'Online', true)
  await outbox.first().waitFor({ state: 'detached' })
  await screen.agrees('A')
  const { name, percent_complete } = await taskOf(id, 'frame')
  assert.deepEqual({ name, percent_complete }, { name: 'Oak frame', percent_complete: 35 })
  assert.match(await screen.device('A').locator('.notice').innerText(), /Merged.*name/)
  assert.equal(await screen.tasks('A'), 13)

  await screen.pull('B')
  await screen.agrees('B')
  assert.equal(await screen.mark('A'), await screen.mark('B'))
  assert.match(await screen.device('B').locator('.phone-list').innerText(), /Oak frame[^]*35/)
  assert.match(await screen.fact('B', 'outcome').innerText(), /^first_read$/)
  assert.match(await screen.fact('B', 'last pull').innerText(), /^2 rows$/)
  assert.match(await screen.fact('B', 'read units').innerText(), /^[1-9][0-9.]*$/)
})

for (const [choice, expected] of [['Keep mine', 65], ['Take theirs', 70]]) {
  look(`two people change one field: “${choice}”`, {}, async ({ id, screen }) => {
    await screen.trouble('Two edit the same field')
    const conflict = screen.device('B').locator('.conflict')
    assert.match(await conflict.innerText(), /You and someone else changed “Complete, %”/)
    assert.deepEqual([await conflict.locator('[data-side=mine]').innerText(), await conflict.locator('[data-side=theirs]').innerText()], ['65', '70'])
    assert.equal((await taskOf(id, 'foundation')).percent_complete, 70, 'a conflict writes nothing')
    await conflict.getByRole('button', { name: choice }).click()
    await conflict.waitFor({ state: 'detached' })
    await screen.agrees('B')
    await screen.pull('A')
    await screen.agrees('A')
    assert.equal((await taskOf(id, 'foundation')).percent_complete, expected)
  })
}

look('two people change other fields of one task: both changes stay', {}, async ({ id, screen }) => {
  await screen.trouble('Two edit one task')
  const { name, percent_complete } = await taskOf(id, 'foundation')
  assert.deepEqual({ name, percent_complete }, { name: 'Foundation slab (B)', percent_complete: 70 })
})

look('a task that goes takes its dependencies along, on every device', {}, async ({ page, screen }) => {
  const story = await screen.trouble('Delete a linked task')
  assert.match(story, /“Plaster”, which has 4 dependencies/)
  assert.match(await screen.fact('A', 'last pull').innerText(), /^0 rows, 5 deleted$/)
  assert.equal(await page.locator('.tick.tombstone path').count(), 6, 'five versions, and one in the legend')
  // The last tick is the task's: hovering it tells the commit, of five versions.
  await page.locator('.tick.tasks.tombstone rect').last().hover({ force: true })
  assert.match(await page.locator('.told').innerText(), /tasks Plaster, a tombstone\. Commit at .*, versions 34 to 38: DELETE tasks\/plaster by olga\. A has it, B has it\./)
})

look('who is removed loses the project, and gets it again when added again', {}, async ({ screen }) => {
  await screen.trouble('Remove sofia')
  assert.equal(await screen.tasks('B'), 0)
  assert.match(await screen.device('B').locator('.notice').innerText(), /membership_revoked/)
  assert.equal(await screen.mark('B'), 0, 'its database is a new one')
  assert.equal(await screen.tasks('A'), 12)
  await screen.trouble('Add sofia again')
  assert.equal(await screen.tasks('B'), 12)
  await screen.agrees('B')
})

look('a deleted project leaves nothing on the devices, and another can be made', {}, async ({ page, screen }) => {
  await screen.trouble('Delete the project')
  assert.deepEqual([await screen.tasks('A'), await screen.tasks('B')], [0, 0])
  assert.match(await page.locator('#pane-server').innerText(), /The project is deleted/)
  await screen.trouble('New project')
  assert.deepEqual([await screen.tasks('A'), await screen.tasks('B')], [12, 12])
})

look('while the index lags a pull reads strongly, and says so', {}, async ({ page, id, screen }) => {
  const lag = page.locator('#pane-trouble select')
  try {
    await lag.selectOption('1 s')
    const story = await screen.trouble('Change, then pull')
    assert.match(story, /with the outcome “strong”/)
    assert.match(story, /strong reads of the table/)
    assert.match((await taskOf(id, 'permit')).notes, /^Changed at/)
  } finally {
    await lag.selectOption('no lag')
  }
  await page.waitForTimeout(100)
  assert.match(await screen.trouble('Change, then pull'), /with the outcome “first_read”/)
})

look('a device that lacks a row is found out by the checksum, and gets everything again', {}, async ({ page, screen }) => {
  const cut = async (route) => {
    const response = await route.fetch()
    const body = await response.json()
    body.changes.tasks.updated = body.changes.tasks.updated.filter(({ id }) => id !== 'roof')
    await route.fulfill({ response, json: body })
  }
  await rest((await page.evaluate(() => location.hash)).slice(1), 'tasks/roof/', { method: 'PATCH', body: JSON.stringify({ name: 'Green roof' }) })
  await page.route(/\/sync\//, cut)
  await screen.pull('A')
  await page.unroute(/\/sync\//, cut)
  assert.equal(await screen.fact('A', 'checksum').innerText(), 'differs: tasks')
  await screen.pull('A')
  assert.equal(await screen.fact('A', 'checksum').innerText(), 'differs: tasks', 'no pull from its mark brings it')
  await screen.device('A').getByRole('button', { name: 'Full sync' }).click()
  await screen.agrees('A')
  assert.match(await screen.device('A').locator('.phone-list').innerText(), /Green roof/)
})

for (const lostTable of [false, true]) {
  look(`a restored backup, ${lostTable ? 'with' : 'without'} the lost table: the devices hold what the server does`, {}, async ({ page, id, screen }) => {
    await screen.trouble('Take a backup')
    await screen.trouble('Delete a linked task')
    await rest(id, 'tasks/', { method: 'POST', body: JSON.stringify({ id: 'lost', name: 'Made after the backup' }) })
    await screen.pull('A')
    assert.equal(await screen.tasks('A'), 12)
    if (lostTable) await page.getByLabel('the lost table can be read').check()
    await screen.trouble('Restore it')
    for (const device of ['A', 'B']) {
      await screen.agrees(device)
      assert.equal(await screen.tasks(device), 12)
      assert.doesNotMatch(await screen.device(device).locator('.phone-list').innerText(), /Made after/)
      assert.ok((await screen.mark(device)) > 2 ** 32)
    }
    await screen.device('A').getByRole('button', { name: 'Last sync as JSON' }).click()
    const wire = await page.locator('dialog .wire').innerText()
    assert.equal(wire.includes('resync_required'), !lostTable)
    assert.match(await page.locator('.line').getAttribute('aria-valuetext'), /operator’s/)
  })
}

look('a device that is live gets what changes', {}, async ({ page, id, screen }) => {
  await screen.set('B', 'Live', true)
  // A change before the device listens comes with its next sync, and no poke tells of it.
  let changes = 0
  await eventually(async () => {
    await rest(id, 'tasks/keys/', { method: 'PATCH', body: JSON.stringify({ name: `Keys, at last ${(changes += 1)}` }) })
    await page.locator('.line .flag-B.poked').waitFor({ timeout: 2_000 })
  })
  await screen.device('B').locator('.phone-list', { hasText: 'Keys, at last' }).waitFor({ timeout: 10_000 }).catch(() => {})
  await screen.device('B').locator('.phone-list').evaluate((list) => (list.scrollTop = 9_999))
  await screen.device('B').locator('.phone-task', { hasText: 'Keys, at last' }).waitFor()
  assert.ok((await screen.mark('A')) < (await screen.mark('B')), 'the other is not live')
  // B heard of it over its WebSocket, and its flag flashed.
  assert.equal(await page.locator('.line .flag-A.poked').count(), 0)
  // The version line shows it, too: A lacks the last version.
  await page.waitForFunction(() => /A lacks it, B has it/.test(document.querySelector('.told').textContent))
})

look('the server is edited over REST, as whoever one is', {}, async ({ page, id, screen }) => {
  const server = page.locator('#pane-server')
  await server.getByLabel('Acting as').selectOption('vic')
  await server.getByLabel('Name of a new task').fill('A viewer’s wish')
  await server.getByRole('button', { name: 'Add' }).first().click()
  await server.locator('.refusal', { hasText: 'role_too_low' }).waitFor()
  await server.getByLabel('Acting as').selectOption('sofia')
  await server.getByRole('button', { name: 'Add' }).first().click()
  await page.waitForFunction(() => /13 tasks/.test(document.querySelector('#pane-server').textContent))
  await server.getByRole('button', { name: /Roof\b/ }).click()
  const dialog = page.locator('dialog[open]')
  await dialog.getByLabel('Duration, days').fill('11')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.waitFor({ state: 'detached' })
  assert.equal((await taskOf(id, 'roof')).duration, 11)
  await server.getByRole('button', { name: /Roof\b/ }).click()
  await dialog.getByLabel('Predecessor').selectOption('Keys')
  await dialog.getByRole('button', { name: 'Connect' }).click()
  await dialog.locator('.refusal', { hasText: 'dependency_cycle' }).waitFor()
  await page.keyboard.press('Escape')
  await server.getByLabel('Role of mia').selectOption('Owner')
  await server.locator('.refusal', { hasText: 'role_too_low' }).waitFor()
  assert.equal(await server.getByLabel('Role of mia').inputValue(), '100', 'a refused role is not shown')
})

look('by keyboard: versions with the arrows, tasks with the tabulator, dialogs with Escape', {}, async ({ page }) => {
  await page.getByRole('slider', { name: 'Version' }).focus()
  await page.keyboard.press('Home')
  assert.match(await page.locator('.told').innerText(), /^Version 1: projects House by the lake, superseded/)
  await page.keyboard.press('ArrowRight')
  assert.match(await page.getByRole('slider').getAttribute('aria-valuetext'), /^Version 2: memberships olga, current/)
  await page.locator('.task').first().focus()
  await page.keyboard.press('Tab')
  assert.match(await page.evaluate(() => document.activeElement.textContent), /Groundwork/)
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'none')
  await page.keyboard.press('Enter')
  await page.locator('dialog[open]').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('dialog').waitFor({ state: 'detached' })
})

look('on a phone the panes are tabs, by the arrow keys too', { width: 390, height: 844 }, async ({ page }) => {
  const seen = () => page.locator('main > section:visible').count()
  assert.equal(await seen(), 1)
  await page.getByRole('tab', { name: 'Server' }).focus()
  await page.keyboard.press('ArrowRight')
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Device A')
  assert.ok(await page.locator('#pane-a').isVisible())
  await page.keyboard.press('End')
  assert.ok(await page.locator('#pane-trouble').isVisible())
  assert.equal(await seen(), 1)
})

look('a name without end is cut, not spread over the page', { width: 390, height: 844 }, async ({ page, id }) => {
  const name = 'Donaudampfschifffahrtsgesellschaft'.repeat(15).slice(0, 512)
  await rest(id, 'tasks/permit/', { method: 'PATCH', body: JSON.stringify({ name }) })
  for (const tab of ['Server', 'Device A', 'Versions']) {
    await page.getByRole('tab', { name: tab }).click()
    if (tab === 'Device A') await page.locator('#pane-a').getByRole('button', { name: 'Sync', exact: true }).click()
    await page.waitForTimeout(1_300)
    const ends = await page.evaluate(() => [...document.querySelectorAll('.name, .told')].map((name) => name.getBoundingClientRect().right))
    assert.ok(Math.max(...ends) <= 390, `${tab}: a name ends at ${Math.max(...ends)}`)
    if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/long-${tab}.png` })
  }
})

look('the phone says how its sync stands, and how many edits are not on the server', {}, async ({ screen }) => {
  await screen.stands('A', 'Synced', 'no unsent edits')
  await screen.set('A', 'Online', false)
  await screen.stands('A', 'Offline', '')
  await screen.edit('A', 'Roof', { 'Complete, %': '5' })
  await screen.stands('A', 'Offline', '1 unsent edit')
  await screen.edit('A', 'Garden', { Name: 'Kitchen garden' })
  await screen.stands('A', 'Offline', '2 unsent edits')
  await screen.set('A', 'Online', true)
  await screen.stands('A', 'Synced', 'no unsent edits')
})

look('a phone that cannot sync says why, and goes on when it can', {}, async ({ page, screen, complaints }) => {
  const maintenance = (route) => route.fulfill({ status: 200, contentType: 'text/html', body: '<h1>We are back soon</h1>' })
  await page.route(/\/sync\//, maintenance)
  await screen.device('A').getByRole('button', { name: 'Sync', exact: true }).click()
  await screen.stands('A', 'Error', '')
  await eventually(async () => assert.match(await screen.device('A').locator('.notice').innerText(), /The response did not come from the server/))
  await page.unroute(/\/sync\//, maintenance)
  await screen.pull('A')
  await screen.stands('A', 'Synced', 'no unsent edits')
  assert.equal(await screen.device('A').locator('.notice').innerText(), '')
  assert.deepEqual(complaints, [])
})

look('a first sync shows how far it is, and no plan before it is whole', {}, async ({ page, screen }) => {
  let goOn
  const rest = new Promise((resolve) => (goOn = resolve))
  const inTwoPages = async (route) => {
    const since = new URL(route.request().url()).searchParams.get('since')
    if (since === '20') await rest
    // The other device may pull at the same time.
    if (since !== '0') return route.continue()
    const response = await route.fetch()
    const body = await response.json()
    // The first page has the rows up to version 20. The server itself answers the pull after that.
    for (const change of Object.values(body.changes)) change.updated = change.updated.filter(({ server_version }) => server_version <= 20)
    const { checksum, ...page } = body
    const row_counts = Object.fromEntries(Object.entries(checksum).map(([table, [rows]]) => [table, rows]))
    await route.fulfill({ response, json: { ...page, timestamp: 20, has_more: true, row_counts } })
  }
  await page.route(/\/sync\//, inTwoPages)
  await screen.device('A').getByLabel('Signed in as').selectOption('adam')
  await page.locator('#pane-a progress').waitFor()
  assert.match(await screen.device('A').locator('[data-fact=status]').innerText(), /First sync/)
  assert.match(await screen.device('A').locator('[data-fact=progress]').innerText(), /^\d+ of 32 rows$/)
  assert.equal(await screen.tasks('A'), 0)
  assert.match(await screen.device('A').locator('.phone-list').innerText(), /The tasks appear when the first sync is complete/)
  goOn()
  await page.locator('#pane-a progress').waitFor({ state: 'detached' })
  await screen.agrees('A')
  assert.equal(await screen.tasks('A'), 12)
})

look('a conflict can be settled with a value that is neither mine nor theirs', {}, async ({ id, screen }) => {
  await screen.trouble('Two edit the same field')
  const conflict = screen.device('B').locator('.conflict')
  await conflict.getByLabel('Other value for Complete, %').fill('68')
  await conflict.getByRole('button', { name: 'Use this' }).click()
  await conflict.waitFor({ state: 'detached' })
  await screen.stands('B', 'Synced', 'no unsent edits')
  assert.equal((await taskOf(id, 'foundation')).percent_complete, 68)
})

look('each field of a conflict is settled by itself', {}, async ({ id, screen }) => {
  await screen.set('B', 'Online', false)
  await screen.edit('B', 'Timber frame', { Name: 'Oak frame', 'Complete, %': '20' })
  await rest(id, 'tasks/frame/', { method: 'PATCH', body: JSON.stringify({ name: 'Steel frame', percent_complete: 40 }) })
  await screen.set('B', 'Online', true)
  const conflicts = screen.device('B').locator('.conflict')
  await conflicts.nth(1).waitFor()
  await conflicts.filter({ hasText: '“Name”' }).getByRole('button', { name: 'Keep mine' }).click()
  await conflicts.filter({ hasText: '“Name”' }).waitFor({ state: 'detached' })
  await conflicts.filter({ hasText: '“Complete, %”' }).getByRole('button', { name: 'Take theirs' }).click()
  await conflicts.first().waitFor({ state: 'detached' })
  await screen.stands('B', 'Synced', 'no unsent edits')
  const { name, percent_complete } = await taskOf(id, 'frame')
  assert.deepEqual({ name, percent_complete }, { name: 'Oak frame', percent_complete: 40 })
})

look('a deletion of what someone else has changed asks its user', {}, async ({ page, id, screen }) => {
  await screen.set('A', 'Online', false)
  await screen.device('A').locator('.phone-task', { hasText: 'Timber frame' }).click()
  await page.locator('dialog[open]').getByRole('button', { name: 'Delete' }).click()
  await rest(id, 'tasks/frame/', { method: 'PATCH', body: JSON.stringify({ percent_complete: 40 }) })
  await screen.set('A', 'Online', true)
  const conflict = screen.device('A').locator('.conflict')
  await conflict.waitFor()
  assert.match(await conflict.innerText(), /Timber frame[^]*You deleted this task\. Someone else has changed it since\.[^]*Complete, %: 40/)
  await conflict.getByRole('button', { name: 'Take theirs' }).click()
  await conflict.waitFor({ state: 'detached' })
  await screen.device('A').locator('.phone-task', { hasText: 'Timber frame' }).waitFor()
  await screen.stands('A', 'Synced', 'no unsent edits')
  assert.equal((await taskOf(id, 'frame')).percent_complete, 40)
})

look('both phones edit offline: merged, in conflict, and set aside', {}, async ({ id, screen }) => {
  const story = await screen.trouble('Edit on both devices offline')
  assert.match(story, /3 edits wait on A and 3 on B/)
  const { name, percent_complete } = await taskOf(id, 'foundation')
  assert.deepEqual({ name, percent_complete }, { name: 'Foundation slab (B)', percent_complete: 70 })
  await screen.stands('A', 'Synced', 'no unsent edits')
  await screen.stands('B', 'Synced', '1 unsent edit')
  const b = screen.device('B')
  assert.match(await b.locator('.conflict').innerText(), /Timber frame[^]*Complete, %/)
  const aside = b.locator('.aside')
  assert.match(await aside.innerText(), /Keys[^]*Someone else deleted the task\. Your unsent edit: Status: On hold\./)
  await aside.getByRole('button', { name: 'Restore as a new task' }).click()
  await aside.waitFor({ state: 'detached' })
  await screen.set('B', 'Live', true)
  await screen.stands('B', 'Synced', '1 unsent edit')
  await eventually(async () => {
    const { body } = await rest(id, 'tasks/?limit=100')
    const restored = body.results.filter(({ name }) => name === 'Keys')
    assert.deepEqual(restored.map(({ id, status }) => [id === 'keys', status]), [[false, 'ON_HOLD']])
  })
})

look('an edit that was set aside can be dropped', {}, async ({ id, screen }) => {
  await screen.trouble('Edit on both devices offline')
  const aside = screen.device('B').locator('.aside')
  await aside.getByRole('button', { name: 'Drop my edit' }).click()
  await aside.waitFor({ state: 'detached' })
  const { body } = await rest(id, 'tasks/?limit=100')
  assert.ok(!body.results.some(({ name }) => name === 'Keys'), 'nothing was sent')
})

look('an app that is killed while it sends has sent its edit once', {}, async ({ page, id, screen }) => {
  const before = (await taskOf(id, 'foundation')).server_version
  const keys = []
  page.on('request', (request) => request.url().includes('/batch/') && keys.push(request.headers()['idempotency-key']))
  const story = await screen.trouble('Kill the app while it sends')
  assert.match(story, /killed before it gets the response[^]*same idempotency key[^]*The edit was applied once/)
  assert.equal(keys.length, 2)
  assert.equal(keys[0], keys[1])
  const task = await taskOf(id, 'foundation')
  assert.equal(task.percent_complete, 70)
  assert.ok(task.server_version > before)
  await screen.stands('A', 'Synced', 'no unsent edits')
})

look('a killed app shows nothing until it is started, and then has the edits that it had', {}, async ({ page, screen }) => {
  await screen.set('A', 'Online', false)
  await screen.edit('A', 'Roof', { 'Complete, %': '5' })
  await screen.device('A').getByRole('button', { name: 'Kill the app' }).click()
  assert.match(await screen.device('A').locator('.killed').innerText(), /The app was killed/)
  assert.equal(await screen.device('A').locator('.phone-list').count(), 0)
  await screen.device('A').getByRole('button', { name: 'Start the app' }).click()
  await screen.stands('A', 'Offline', '1 unsent edit')
  assert.match(await screen.device('A').locator('.phone-task', { hasText: 'Roof' }).innerText(), /waiting to be sent[^]*5/)
  assert.equal(await page.locator('#pane-a .outbox li').count(), 1)
})

look('the server refuses one of three edits: two arrive, and one waits for its user', {}, async ({ page, id, screen }) => {
  const story = await screen.trouble('The server refuses one of three edits')
  assert.match(story, /The server accepts two[^]*The server refuses one: Complete, % /)
  assert.equal((await taskOf(id, 'foundation')).percent_complete, 70)
  assert.equal((await taskOf(id, 'frame')).percent_complete, 0)
  assert.equal((await taskOf(id, 'roof')).name, 'Roof (A)')
  await screen.stands('A', 'Synced', '1 unsent edit')
  const refused = screen.device('A').locator('.rejected')
  assert.match(await refused.innerText(), /Timber frame[^]*Complete, %: 150[^]*\(validation_failed\)[^]*Change the value and save again, or discard your edit\./)
  await refused.getByRole('button', { name: 'Change it' }).click()
  const dialog = page.locator('dialog[open]')
  await dialog.getByLabel('Complete, %').fill('50')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await refused.waitFor({ state: 'detached' })
  await screen.stands('A', 'Synced', 'no unsent edits')
  assert.equal((await taskOf(id, 'frame')).percent_complete, 50)
})

look('a refused edit can be discarded, and the phone shows the server’s value again', {}, async ({ id, screen }) => {
  await screen.trouble('The server refuses one of three edits')
  const refused = screen.device('A').locator('.rejected')
  await refused.getByRole('button', { name: 'Discard my edit' }).click()
  await refused.waitFor({ state: 'detached' })
  await screen.stands('A', 'Synced', 'no unsent edits')
  assert.match(await screen.device('A').locator('.phone-task', { hasText: 'Timber frame' }).innerText(), /^Timber frame\nNot started\n0$/)
  assert.equal((await taskOf(id, 'frame')).percent_complete, 0)
})

look('edits of a user whose role is too low are refused with what to do', {}, async ({ screen }) => {
  await screen.device('A').getByLabel('Signed in as').selectOption('vic')
  await screen.stands('A', 'Synced', 'no unsent edits')
  await screen.edit('A', 'Roof', { 'Complete, %': '5' })
  const refused = screen.device('A').locator('.rejected')
  await refused.waitFor()
  assert.match(await refused.innerText(), /Your role does not allow this[^]*\(role_too_low\)[^]*Ask an admin of the project for another role/)
})

look('edits of a user who was removed are set aside, and can be dropped', {}, async ({ screen }) => {
  await screen.set('B', 'Online', false)
  await screen.edit('B', 'Roof', { 'Complete, %': '5' })
  await screen.trouble('Remove sofia')
  await screen.stands('B', 'Removed from this device', '')
  const aside = screen.device('B').locator('.aside')
  assert.match(await aside.innerText(), /Roof[^]*You are not a member of the project any more\. Your unsent edit: Complete, %: 5\./)
  assert.equal(await aside.getByRole('button', { name: /Restore/ }).count(), 0, 'there is no project to restore it into')
  await screen.trouble('Add sofia again')
  await aside.getByRole('button', { name: 'Restore as a new task' }).waitFor()
  await aside.getByRole('button', { name: 'Drop my edit' }).click()
  await aside.waitFor({ state: 'detached' })
})

look('300 tasks: the page stays small, and scrolls without long frames', {}, async ({ page, screen }) => {
  await screen.trouble('Add 300 tasks')
  assert.deepEqual([await screen.tasks('A'), await screen.tasks('B')], [312, 312])
  const elements = await page.evaluate(() => document.querySelectorAll('*').length)
  const frames = await page.evaluate(async () => {
    const took = []
    for (const element of document.querySelectorAll('.plan, .phone-list, .line')) {
      for (let step = 1; step <= 20; step++) {
        const started = performance.now()
        if (element.matches('.line')) element.scrollLeft = (element.scrollWidth * step) / 20
        else element.scrollTop = (element.scrollHeight * step) / 20
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))
        took.push(performance.now() - started)
      }
    }
    return took.sort((one, other) => one - other)
  })
  const [median, worst] = [frames[frames.length >> 1], frames.at(-1)]
  console.log(`312 tasks: ${elements} elements; a frame while scrolling takes ${median.toFixed(0)} ms, at worst ${worst.toFixed(0)} ms`)
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/300.png`, fullPage: true })
  assert.ok(elements < 1_500, `${elements} elements`)
  assert.ok(median < 50, `${median} ms a frame`)
  assert.match(await screen.device('A').locator('.phone-list').innerText(), /Snag 3\d\d/, 'the end of the list is there when scrolled to')
})

test('another site’s page gets no token', async () => {
  const { port } = new URL(address)
  const status = (headers) =>
    new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: '/demo/setup', headers }, (response) => resolve(response.resume().statusCode)).on('error', reject).end()
    })
  assert.equal(await status({ host: `localhost:${port}` }), 200)
  assert.equal(await status({ host: 'rebound.example' }), 403)
  assert.equal(await status({ 'sec-fetch-site': 'cross-site' }), 403)
})
