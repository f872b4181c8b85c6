// The demo's part of its live page: a download through the tunnel, and a button that cuts the
// network. The demo writes the constants above this line.

import { announce } from "./announcer.js";
import { post } from "./api.js";
import { h, setAttributes, setText } from "./dom.js";
import { bytes, duration } from "./format.js";

const TICK = 200; // milliseconds between two changes of what is shown

/**
 * Add the panel.
 * @param {HTMLElement} parent
 */
export function extend(parent) {
  const download = new Download();
  const network = new Network();
  parent.append(
    h(
      "section",
      { class: "panel extension", "aria-labelledby": "demo-title" },
      h("h2", { id: "demo-title" }, "Try it: cut the network in the middle of a download"),
      h(
        "p",
        { class: "soft" },
        `The download of ${bytes(SIZE)} goes through the tunnel: from the demo's web server to this `,
        "browser. Cut the network while it runs, and watch the link below. The download waits, and ",
        "continues when the network is back. Its hash shows that no byte is missing.",
      ),
      h(
        "div",
        { class: "buttons" },
        download.button,
        network.button,
        h("a", { href: SITE, target: "_blank", rel: "noopener" }, "Open the demo's own page"),
      ),
      download.bar,
      h("p", { class: "number", id: "demo-result" }, download.text),
    ),
  );
}

class Download {
  constructor() {
    this.button = h("button", { type: "button", class: "button primary", id: "demo-download" });
    this.bar = h("progress", { max: SIZE, value: 0, "aria-label": "Download" });
    this.text = h("span", {}, "Not started.");
    setText(this.button, `Download ${bytes(SIZE)}`);
    this.button.addEventListener("click", () => this.#run());
    this.received = 0;
    this.arrivedAt = 0;
  }

  async #run() {
    this.button.disabled = true;
    this.received = 0;
    const start = performance.now();
    this.arrivedAt = start;
    const timer = setInterval(() => this.#showProgress(), TICK);
    try {
      const content = await this.#receive();
      const seconds = (performance.now() - start) / 1000;
      clearInterval(timer);
      this.#showProgress();
      const hash = hex(await crypto.subtle.digest("SHA-256", content));
      const verdict =
        hash === SHA256 ? "The SHA-256 is right" : `The SHA-256 is wrong, it should be ${SHA256}`;
      this.#tell(`${bytes(SIZE)} in ${duration(seconds)}. ${verdict}: ${hash}`, hash === SHA256);
    } catch (error) {
      clearInterval(timer);
      const reason = error instanceof Error ? error.message : String(error);
      this.#tell(`The download failed after ${bytes(this.received)}: ${reason}`, false);
    }
    this.button.disabled = false;
  }

  /** Return the content. */
  async #receive() {
    const response = await fetch(DOWNLOAD);
    if (!response.ok || response.body === null) throw new Error(`status ${response.status}`);
    const content = new Uint8Array(SIZE);
    const reader = response.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      content.set(value, this.received);
      this.received += value.byteLength;
      this.arrivedAt = performance.now();
    }
    if (this.received !== SIZE) throw new Error("it is too short");
    return content;
  }

  #showProgress() {
    this.bar.value = this.received;
    const waited = (performance.now() - this.arrivedAt) / 1000;
    const wait = waited < 1 ? "" : `, waiting for ${duration(waited)}`;
    setText(this.text, `${bytes(this.received)} of ${bytes(SIZE)}${wait}`);
    setAttributes(this.text, { class: false });
  }

  /**
   * @param {string} sentence
   * @param {boolean} isGood
   */
  #tell(sentence, isGood) {
    setText(this.text, sentence);
    setAttributes(this.text, { class: isGood ? "good" : "error" });
    announce(sentence);
  }
}

class Network {
  constructor() {
    this.button = h("button", { type: "button", class: "button", id: "demo-cut" });
    this.name = `Cut the network for ${SECONDS} s`;
    setText(this.button, this.name);
    this.button.addEventListener("click", () => this.#cut());
  }

  async #cut() {
    this.button.disabled = true;
    try {
      await post("actions/cut");
    } catch (error) {
      setText(this.button, error instanceof Error ? error.message : String(error));
      this.button.disabled = false;
      return;
    }
    announce("The network is cut");
    const end = performance.now() + SECONDS * 1000;
    const timer = setInterval(() => {
      const left = (end - performance.now()) / 1000;
      if (left > 0) {
        setText(this.button, `Cut: back in ${Math.ceil(left)} s`);
        return;
      }
      clearInterval(timer);
      setText(this.button, this.name);
      this.button.disabled = false;
      announce("The network is back");
    }, TICK);
  }
}

/** @param {ArrayBuffer} digest */
function hex(digest) {
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
