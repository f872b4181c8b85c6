// Reads Server-Sent Events. EventSource needs the name of every event, and does not try again after
// an answer such as 503.

/** @typedef {import("./types.js").RoleEvent} RoleEvent */

const RETRY_AFTER = 1_000; // milliseconds, doubled with each failure
const MAX_RETRY_AFTER = 15_000;
const SILENCE = 40_000; // milliseconds without a byte; the server sends a comment every 15 s
const PAST = 1000; // past events to ask for, which are all that the role keeps

export class EventStream {
  /** @param {(event: RoleEvent) => void} receive */
  constructor(receive) {
    this.receive = receive;
    /** @type {string[]} names of events to leave out */
    this.excluded = [];
    this.lastId = "";
    this.failures = 0;
    this.request = new AbortController();
  }

  /**
   * Begin again with the past events, without those of some names.
   * @param {string[]} excluded
   */
  restart(excluded) {
    this.excluded = excluded;
    this.lastId = "";
    this.failures = 0;
    this.request.abort();
  }

  /** Read events until the page is closed. */
  async run() {
    for (;;) {
      const request = new AbortController();
      this.request = request;
      try {
        await this.#readOnce(request);
      } catch {
        // The polls report that the role does not answer. This only tries again.
      }
      if (this.lastId === "" && this.failures === 0 && request.signal.aborted) continue; // restarted
      const wait = Math.min(RETRY_AFTER * 2 ** this.failures, MAX_RETRY_AFTER);
      this.failures += 1;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** @param {AbortController} request */
  async #readOnce(request) {
    let watch = setTimeout(() => request.abort(), SILENCE);
    /** @type {Record<string, string>} */
    const headers = this.lastId === "" ? {} : { "Last-Event-ID": this.lastId };
    const query = new URLSearchParams(this.lastId === "" ? { recent: String(PAST) } : {});
    if (this.excluded.length > 0) query.set("exclude", this.excluded.join());
    try {
      const response = await fetch(`/api/v1/events?${query}`, { headers, signal: request.signal });
      if (!response.ok || response.body === null) return;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done || request.signal.aborted) return;
        clearTimeout(watch);
        watch = setTimeout(() => request.abort(), SILENCE);
        this.failures = 0;
        const blocks = (text + value).split(/\r?\n\r?\n/);
        text = blocks.pop() ?? "";
        for (const block of blocks) this.#take(block);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  /** @param {string} block the lines of one event */
  #take(block) {
    let data = "";
    for (const line of block.split(/\r?\n/)) {
      const [, name, value] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
      if (name === "id") this.lastId = value ?? "";
      else if (name === "data") data += value;
    }
    if (data !== "") this.receive(JSON.parse(data));
  }
}
