// Draws each NAME.pikchr as NAME.svg, into the directory that is named or beside the sources.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import pikchr from 'pikchr-wasm'

await pikchr.loadWASM()
const sources = import.meta.dirname
const target = process.argv[2] ?? sources
for (const file of readdirSync(sources).filter((name) => name.endsWith('.pikchr'))) {
  const svg = pikchr.render(readFileSync(path.join(sources, file), 'utf8'))
  if (!svg.startsWith('<svg')) throw new Error(`${file}: ${svg}`)
  // Pikchr draws on whatever is behind; on a card of its own a picture can be read on a dark page, too.
  const card = '<rect width="100%" height="100%" rx="8" fill="white"/>'
  const framed = svg.replace(/<svg ([^>]*)>/, `<svg font-family="system-ui, sans-serif" $1>\n${card}`)
  writeFileSync(path.join(target, file.replace(/\.pikchr$/, '.svg')), framed)
}
