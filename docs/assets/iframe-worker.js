// Search on pages that are read from the disk. There browsers start no worker,
// so its script runs in a hidden frame. Material for MkDocs loads a script of
// this name, from elsewhere if there is none here.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.title = "search"
      document.body.append(frame)
      this.window = frame.contentWindow
      this.window.postMessage = (data) =>
        this.dispatchEvent(new MessageEvent("message", { data }))
      this.ready = new Promise((resolve, reject) => {
        const script = frame.contentDocument.createElement("script")
        script.src = url
        script.onload = resolve
        script.onerror = reject
        frame.contentDocument.body.append(script)
      })
    }

    async postMessage(data) {
      await this.ready
      this.window.dispatchEvent(new MessageEvent("message", { data }))
    }
  }
}
