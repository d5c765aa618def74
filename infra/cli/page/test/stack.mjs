// The local stack with its page, and a real browser to look at it.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after } from 'node:test'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))
const binary = process.env.TRUEPPM_BIN ?? here('../../../../target/debug/trueppm')

/**
 * Debian's Chromium, or the browser that CHROMIUM names. It runs without its sandbox, which root cannot use. It is started
 * before the stack, so that no stack is left running if there is no browser.
 */
export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-dev-shm-usage'],
})
after(() => browser.close())

/** The address of a stack that was started for these tests. */
export const address = await startStack()

async function startStack() {
  const server = spawn(binary, ['demo', '--port', '0'], {
    env: { RUST_LOG: 'warn', ...process.env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  after(() => server.kill())
  process.once('exit', () => server.kill())
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.once('exit', (code) => reject(new Error(`${binary} ended with ${code} before it was ready`)))
    createInterface({ input: server.stdout }).on('line', (line) => {
      const ready = line.match(/listening on (http:\S+)/)
      if (ready) resolve(ready[1])
    })
  })
}

/**
 * Opens the page on a fresh project. `complaints` has the messages of the browser's console. PAGE_DIST names a directory with a
 * newer page than the one that the stack was built with.
 */
export async function openPage({ width = 1280, height = 1000, colorScheme = 'light', ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, ...options })
  const page = await context.newPage()
  const complaints = []
  page.on('console', (message) => {
    // A refusal is an answer: the browser logs it as a resource that failed, whatever the page makes of it.
    const expected = /Failed to load resource.*(403|409|410)/.test(message.text())
    if (['error', 'warning'].includes(message.type()) && !expected) complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  const foreign = []
  page.on('request', (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith('data:')) foreign.push(request.url())
  })
  if (process.env.PAGE_DIST) await page.route(/\/page\.(js|css)$/, (route) => route.fulfill({ path: join(process.env.PAGE_DIST, basename(new URL(route.request().url()).pathname)) }))
  const made = await fetch(`${address}/demo/projects`, { method: 'POST' })
  assert.equal(made.status, 201)
  const { id } = await made.json()
  await page.goto(`${address}/#${id}`)
  // A test may take a device offline at once, and a device that never synced shows no task.
  for (const pane of ['#pane-a', '#pane-b']) await page.locator(`${pane} .phone-task`).first().waitFor({ state: 'attached' })
  return { page, id, complaints, foreign, close: () => context.close() }
}

/** Repeats an assertion until it holds, for at most 15 seconds. */
export async function eventually(assertion) {
  const until = Date.now() + 15_000
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (Date.now() > until) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

/** The page as its user sees it, in the words of its user. */
export class Screen {
  constructor(page) {
    this.page = page
  }

  device(name) {
    return this.page.locator(`#pane-${name.toLowerCase()}`)
  }

  fact(device, name) {
    return this.device(device).locator(`[data-fact="${name}"]`)
  }

  async mark(device) {
    return Number((await this.fact(device, 'mark').innerText()).replaceAll(',', ''))
  }

  async tasks(device) {
    return Number((await this.device(device).locator('.phone-list').getAttribute('aria-label')).match(/^\d+/)[0])
  }

  /** Presses the button of a scenario. Returns the lines of its report once it is over. */
  async trouble(button) {
    await this.page.locator('#pane-trouble').getByRole('button', { name: button, exact: true }).click()
    const story = this.page.locator('.story')
    await this.page.waitForFunction(() => document.querySelector('.story')?.getAttribute('aria-busy') === 'false' && document.querySelector('.story ol'), null, { timeout: 60_000 })
    const wrong = await story.locator('li.wrong').allInnerTexts()
    assert.deepEqual(wrong, [], `${button}: ${await story.innerText()}`)
    return story.innerText()
  }

  /** Changes a task on a device, as its user does. */
  async edit(device, task, fields) {
    await this.device(device).locator('.phone-task', { hasText: task }).first().click()
    const dialog = this.page.locator('dialog[open]')
    for (const [label, value] of Object.entries(fields)) await dialog.getByLabel(label).fill(value)
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
  }

  async set(device, name, on) {
    const control = this.device(device).getByRole('switch', { name })
    if ((await control.getAttribute('aria-checked')) !== String(on)) await control.click()
  }

  async pull(device) {
    await this.device(device).getByRole('button', { name: 'Sync', exact: true }).click()
    await this.idle(device)
  }

  idle(device) {
    return this.device(device).locator('.controls button.primary[aria-busy="false"]').waitFor()
  }

  /** Waits until the device is idle and has this sync state and number of waiting edits. A sync may start at any time. */
  stands(device, status, pending) {
    const shown = (pane) =>
      this.page.evaluate((pane) => {
        const fact = (name) => document.querySelector(`${pane} [data-fact="${name}"]`)?.innerText ?? 'not shown'
        return [fact('status'), fact('pending'), document.querySelector(`${pane} .controls button.primary`)?.ariaBusy === 'false' ? 'idle' : 'busy']
      }, pane)
    return eventually(async () => assert.deepEqual(await shown(`#pane-${device.toLowerCase()}`), [status, pending, 'idle']))
  }

  /** Waits until the device says that its checksum agrees. */
  async agrees(device) {
    await this.page.waitForFunction((pane) => document.querySelector(`${pane} [data-fact="checksum"]`)?.textContent === 'agrees', `#pane-${device.toLowerCase()}`)
  }
}

/** The project as its owner reads it over REST. */
export async function rest(id, path, options = {}) {
  const { users } = await (await fetch(`${address}/demo/setup`)).json()
  const { user = 'olga', ...init } = options
  const { token } = users.find((known) => known.user === user)
  const headers = { authorization: `Bearer ${token}`, ...(init.body && { 'content-type': 'application/json' }) }
  const response = await fetch(`${address}/api/v1/projects/${id}/${path}`, { ...init, headers })
  const text = await response.text()
  return { status: response.status, body: text ? JSON.parse(text) : null }
}

export const axeSource = readFileSync(here('../node_modules/axe-core/axe.min.js'), 'utf8')
