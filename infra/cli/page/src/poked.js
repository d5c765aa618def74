// The connection over which a phone gets pokes, and a way to watch these pokes.

/** A class of sockets like the browser's, whose pokes are shown to `show`. */
export const socketsThatShow = (show) =>
  class extends WebSocket {
    constructor(url) {
      super(url)
      this.addEventListener('message', ({ data }) => {
        const { project, version } = JSON.parse(data)
        if (project) show({ project, version })
      })
    }
  }

/** The WebSocket of the server that this page comes from. */
export const liveUrl = () => `${location.origin.replace(/^http/, 'ws')}/live`
