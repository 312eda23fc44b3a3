// Pages that are opened as files may start no worker, and the search works in one: here it works in a hidden frame.
// The theme would fetch the like of this from the web.
if (location.protocol === "file:") {
  const PRELUDE = `
    var postMessage = message => parent.postMessage(message, "*")
    var importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((done, fail) => {
      const script = document.createElement("script")
      Object.assign(script, { src: url, onload: done, onerror: fail })
      document.body.append(script)
    })), Promise.resolve())`
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentDocument
      inside.open()
      inside.write(`<base href="${document.baseURI}"><body><script>${PRELUDE}<\/script><script src="${url}"><\/script>`)
      inside.close()
      this.frame.onload = () => {
        const waiting = this.waiting
        this.waiting = null
        waiting.forEach(message => this.postMessage(message))
      }
      window.addEventListener("message", event => {
        if (event.source !== this.frame.contentWindow) return
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
    }
    postMessage(message) {
      const inside = this.frame.contentWindow
      if (this.waiting) this.waiting.push(message)
      else inside.dispatchEvent(new inside.MessageEvent("message", { data: message }))
    }
    terminate() { this.frame.remove() }
  }
}
