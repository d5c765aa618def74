// What an app pays for the package: minified, and as a phone downloads it.

import { brotliCompressSync, gzipSync } from 'node:zlib'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const GOAL = 20_000
const entryPoints = [fileURLToPath(new URL('../src/index.ts', import.meta.url))]
const { outputFiles } = await build({ entryPoints, bundle: true, minify: true, format: 'esm', target: 'es2022', write: false })
const [{ contents }] = outputFiles
const gzip = gzipSync(contents, { level: 9 }).length
console.log(`minified ${contents.length} bytes, gzip ${gzip}, brotli ${brotliCompressSync(contents).length}; the goal is below ${GOAL} with gzip`)
process.exit(gzip < GOAL ? 0 : 1)
