// Bundles src into dist, or into the directory that is named: one script, one style sheet, one document; and beside it the
// reference, which is Swagger UI as it comes from npm. The same sources make the same bytes.

import { copyFileSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

const outdir = process.argv[2] ?? here('dist')

await build({
  absWorkingDir: here('.'),
  entryPoints: { page: 'src/main.jsx' },
  outdir,
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['chrome110', 'firefox110', 'safari16'],
  jsx: 'automatic',
  jsxImportSource: 'preact',
  define: { 'process.env.NODE_ENV': '"production"' },
  // infra/api and infra/client bring no packages along. The client package is bundled from its sources: it need not be built.
  alias: {
    '@nozbe/watermelondb': here('node_modules/@nozbe/watermelondb'),
    '#trueppm': here('../../api/trueppm.ts'),
    '@trueppm/sync': here('../../client/src/index.ts'),
  },
  legalComments: 'eof',
  logLevel: 'warning',
})
copyFileSync(here('src/index.html'), join(outdir, 'index.html'))

const reference = join(outdir, 'reference')
mkdirSync(reference, { recursive: true })
for (const name of ['index.html', 'reference.css', 'reference.js']) {
  copyFileSync(here(`src/reference/${name}`), join(reference, name))
}
for (const name of ['swagger-ui.css', 'swagger-ui-bundle.js', 'swagger-ui-bundle.js.LICENSE.txt', 'LICENSE', 'NOTICE']) {
  copyFileSync(here(`node_modules/swagger-ui-dist/${name}`), join(reference, name))
}
