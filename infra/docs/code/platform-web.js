/** Whether there is a network. */
export const network = (listener) => {
  const on = () => listener(true)
  window.addEventListener('online', on)
  return () => window.removeEventListener('online', on)
}

/** Whether the page can be seen. */
export const appState = (listener) => {
  const changed = () => listener(document.visibilityState === 'visible')
  document.addEventListener('visibilitychange', changed)
  return () => document.removeEventListener('visibilitychange', changed)
}
