// Brings about each message of the console that infra/docs/plain-client.md explains to app developers.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { schemaMigrations } from '@nozbe/watermelondb/Schema/migrations/index.js'
import { synchronize } from '@nozbe/watermelondb/sync/index.js'
import { cursorKey, Device, onEachAdapter } from './device.mjs'
import { messages } from './pages.mjs'
import { app, appOf, table, tables } from './schema.mjs'
import { newUser, Project, Role, tokenFor } from './server.mjs'

const allTables = tables.map((name) => table(name))
const migrations = schemaMigrations({ migrations: [{ toVersion: 2, steps: [] }] })

const synced = async (adapter, project, user) => {
  const device = new Device(adapter, project, user)
  await device.sync()
  return device
}

/** For each message, a function that brings it about. `told` is its pattern; `complaint: told` expects it in the log. */
const causes = {
  'pullChanges() returned invalid timestamp undefined': async (adapter, told) => {
    const device = new Device(adapter, await Project.create())
    device.token = tokenFor(newUser())
    await assert.rejects(device.sync(), told)
  },

  "Unexpected token '<'": async (adapter, told) => {
    const page = createServer((_, response) => response.end('<!doctype html><title>another server</title>')).listen(0)
    try {
      const device = new Device(adapter, await Project.create())
      const pullChanges = async () => (await fetch(`http://127.0.0.1:${page.address().port}/`)).json()
      await assert.rejects(device.sync({ pullChanges }), told)
    } finally {
      page.close()
    }
  },

  "Server wants client to update record … but it doesn't exist locally": async (adapter, told) => {
    const device = new Device(adapter, await Project.create())
    await device.sync({ sendCreatedAsUpdated: false, complaint: told })
  },

  'received server time … but previous pulled-at time was greater': async (adapter, told) => {
    const project = await Project.create()
    const member = newUser()
    await project.addTasks(3)
    const { id } = await project.addMember(Role.viewer, member)
    const device = await synced(adapter, project, member)
    await project.remove('memberships', id)
    await device.sync()
    await project.addMember(Role.viewer, member)
    await device.sync({ query: '&limit=1', complaint: told })
  },

  'Concurrent synchronization is not allowed': async (adapter, told) => {
    const project = await Project.create()
    const device = await synced(adapter, project)
    await project.addTasks(1)
    const results = await Promise.allSettled([device.sync(), device.sync()])
    const refused = results.filter(({ status }) => status === 'rejected')
    assert.equal(refused.length, 1)
    assert.match(refused[0].reason.message, told)
  },

  'You are trying to sync a collection named … but it does not exist': async (adapter, told) => {
    const project = await Project.create()
    const without = appOf(1, allTables.filter(({ name }) => name !== 'memberships'))
    await new Device(adapter, project, project.owner, without).sync({ complaint: told })
  },

  'Sync aborted because database was reset': async (adapter, told) => {
    const device = await synced(adapter, await Project.create())
    const pullChanges = async (args) => {
      const pulled = await device.pullChanges(args)
      await device.database.write(() => device.database.unsafeResetDatabase())
      return pulled
    }
    await assert.rejects(device.sync({ pullChanges }), told)
  },

  'lastPulledSchemaVersion is set, but this is the first sync': async (adapter, told) => {
    const device = await synced(adapter, await Project.create())
    await device.database.adapter.removeLocal(cursorKey)
    await device.sync({ complaint: told })
  },

  'Migration syncs cannot be enabled on a database that does not support migrations': async (adapter, told) => {
    const device = new Device(adapter, await Project.create())
    await assert.rejects(device.sync({ migrationsEnabledAtVersion: 1 }), told)
  },

  'Last synced schema version … is greater than current schema version': async (adapter, told) => {
    const project = await Project.create()
    const device = new Device(adapter, project, project.owner, appOf(2, allTables, migrations))
    await device.sync({ migrationsEnabledAtVersion: 1 })
    // An older build of the app, on a database that it can open. WatermelonDB checks the schema version of the last sync.
    const { database } = device
    const older = { adapter: database.adapter, schema: { ...app.schema, version: 1 } }
    const opened = new Proxy(database, { get: (target, name) => older[name] ?? Reflect.get(target, name, target) })
    await assert.rejects(
      synchronize({ database: opened, pullChanges: assert.fail, migrationsEnabledAtVersion: 1 }),
      told,
    )
  },

  'unsafeTurbo can only be used as the first sync': async (adapter, told) => {
    const device = await synced(adapter, await Project.create())
    await assert.rejects(device.sync({ unsafeTurbo: true, pullChanges: async () => ({ syncJson: '{}' }) }), told)
  },

  // The loader is C++ and runs in React Native only. This test can only check that its source has the message.
  'expected deleted field to be empty': (_, told) => {
    const home = dirname(createRequire(import.meta.url).resolve('@nozbe/watermelondb/package.json'))
    assert.match(readFileSync(join(home, 'native/shared/Database-turboSync.cpp'), 'utf8'), told)
  },
}

const pattern = (message) =>
  new RegExp(message.split('…').map((part) => part.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'))

test('the page explains the messages that are brought about here, and no others', () => {
  assert.deepEqual(messages.toSorted(), Object.keys(causes).toSorted())
})

onEachAdapter((adapter) => {
  for (const [message, cause] of Object.entries(causes)) {
    test(`the client says: ${message}`, () => cause(adapter, pattern(message)))
  }
})
