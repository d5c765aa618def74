import { render } from 'preact'
import { App } from './app.jsx'
import { start } from './state.js'
import './page.css'

render(<App />, document.body)
start().catch((error) => {
  document.body.append(`Cannot load the demo: ${error.message}`)
})
