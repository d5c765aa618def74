// The reference in a real browser: it shows every operation, sends what one tries, and asks nobody else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { address, browser } from './stack.mjs'

for (const width of [1280, 390]) {
  test(`the API can be read and tried with a token, ${width} px`, async () => {
    const context = await browser.newContext({ viewport: { width, height: 900 } })
    const page = await context.newPage()
    const [complaints, foreign] = [[], []]
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && complaints.push(message.text()))
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('request', (request) => !request.url().startsWith(`${address}/`) && !request.url().startsWith('data:') && foreign.push(request.url()))
    const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)

    await page.goto(`${address}/reference`)
    await page.locator('.opblock').first().waitFor()
    const { paths } = await (await fetch(`${address}/openapi.json`)).json()
    const operations = Object.values(paths).flatMap((path) => Object.values(path))
    for (const { operationId, tags } of operations) await page.locator(`#operations-${tags[0]}-${operationId}`).waitFor()
    assert.equal(await page.locator('.opblock').count(), operations.length)
    assert.ok(await fits(), 'wider than the window')

    const { users } = await (await fetch(`${address}/demo/setup`)).json()
    await page.getByRole('button', { name: 'Authorize' }).click()
    await page.locator('.auth-container input').fill(users.find(({ user }) => user === 'mia').token)
    await page.locator('.auth-btn-wrapper button.authorize').click()
    await page.locator('.btn-done').click()

    for (const [operation, status] of [['sync-pull', '200'], ['tasks-createTask', '201'], ['tasks-changeTask', '200']]) {
      const block = page.locator(`#operations-${operation}`)
      await block.locator('.opblock-summary-control').click()
      await block.locator('button.execute').click()
      const answer = block.locator('.live-responses-table .response-col_status').nth(1)
      await answer.waitFor()
      assert.match(await answer.innerText(), new RegExp(`^${status}`))
      assert.ok(await fits(), `${operation}: wider than the window`)
    }
    assert.deepEqual(complaints, [], 'the console')
    assert.deepEqual(foreign, [], 'requests to elsewhere')
    await context.close()
  })
}
