// Search from the file system: a browser runs no Worker for a page of a file:// address, so that the search's script runs
// in a hidden frame instead. MkDocs's plugin `offline` would load such a shim from the network.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(script) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.srcdoc = "<!doctype html><body>"
      this.ready = new Promise((done, failed) => {
        frame.onload = () => {
          const inside = frame.contentWindow
          inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }))
          const element = inside.document.createElement("script")
          element.src = new URL(script, location.href).href
          element.onload = () => done(inside)
          element.onerror = failed
          inside.document.body.append(element)
        }
      })
      document.body.append(frame)
    }

    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }
  }
}
