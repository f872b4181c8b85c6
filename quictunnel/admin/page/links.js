// The links, each with its timeline and its figures.

import { byId, h, KeyedList, setAttributes, setText } from "./dom.js";
import { bytes, counted, duration, milliseconds, pathName, percent } from "./format.js";
import { isMove, Timeline } from "./timeline.js";

/** @typedef {import("./types.js").Link} Link */
/** @typedef {import("./types.js").Status["role"]} Role */

const OPENED = 3; // links that are shown with their timelines at first

export class Links {
  /** @param {Role} role */
  constructor(role) {
    /** @type {120 | 600} */
    this.span = 120;
    /** @type {Link[]} */
    this.links = [];
    this.made = 0;
    /** @type {KeyedList<Link>} */
    this.list = new KeyedList(
      byId("links-list"),
      (link) => link.id,
      (link) => makeCard(link, role, (this.made += 1) <= OPENED, () => this.span),
    );
    for (const choice of document.querySelectorAll("input[name=span]")) {
      choice.addEventListener("change", () => {
        this.span = /** @type {HTMLInputElement} */ (choice).value === "600" ? 600 : 120;
        this.show(this.links);
      });
    }
  }

  /** @param {Link[]} links */
  show(links) {
    this.links = links;
    this.list.show(links);
    byId("links-none").hidden = links.length > 0;
  }
}

/**
 * @param {Link} first
 * @param {Role} role
 * @param {boolean} isOpen
 * @param {() => 120 | 600} span
 */
function makeCard(first, role, isOpen, span) {
  const isRemote = role === "remote";
  const name = isRemote ? first.origin : first.peer;
  const timeline = new Timeline(name);
  const state = h("span", { class: "badge" });
  const address = h("bdi", { class: "mono soft" });
  const path = h("span", { class: "badge", "data-state": "path" });
  const clients = h("span", { class: "number" });
  const story = h("span", { class: "soft number" });
  const facts = new Facts(isRemote);
  const title = h("bdi", { class: "link-name" }, name);
  const card = h(
    "details",
    { class: "link", open: isOpen },
    h("summary", {}, title, address, state, path, h("span", { class: "link-figures" }, story, clients)),
    h("div", { class: "link-body" }, timeline.element, facts.element),
  );
  /** @type {Link} */
  let shown = first;
  /** @param {Link} link */
  const update = (link) => {
    shown = link;
    const { kind, text } = stateOf(link);
    setAttributes(state, { "data-state": kind });
    setText(state, text);
    setText(title, isRemote ? link.origin : link.peer);
    setText(address, isRemote ? link.peer : `from ${link.local}`);
    setText(path, link.path === "udp" ? "" : pathName(link.path));
    path.hidden = link.path === "udp";
    setText(clients, counted(link.clients, "client"));
    setText(story, tell(link));
    if (!card.open) return;
    facts.show(link);
    timeline.show(link.history, link.changes, link.path, span());
  };
  card.addEventListener("toggle", () => update(shown));
  return { element: card, update };
}

class Facts {
  /** @param {boolean} isRemote */
  constructor(isRemote) {
    this.isRemote = isRemote;
    /** @type {Map<string, Element>} */
    this.values = new Map();
    this.element = h("dl", { class: "facts" });
  }

  /** @param {Link} link */
  show(link) {
    const lost = link.packets_sent === 0 ? 0 : link.packets_lost / link.packets_sent;
    this.#set("Round trip", link.rtt === null ? "–" : milliseconds(link.rtt));
    this.#set("Lost since the start", percent(lost));
    this.#set("Congestion window", bytes(link.congestion_window));
    this.#set("Sent", bytes(link.bytes_sent));
    this.#set("Received", bytes(link.bytes_received));
    this.#set("Path", pathName(link.path));
    if (link.path_reason !== null) this.#set("Why this path", link.path_reason);
    if (link.udp_probe !== null) this.#set("Last UDP probe", link.udp_probe);
    this.#set("Largest datagram", `${link.mtu} B`);
    this.#set("Held while silent", held(link));
    this.#set("Connected for", duration(link.age));
    if (link.agent !== "") this.#set(this.isRemote ? "Origin runs" : "Remote runs", link.agent);
    if (this.isRemote) this.#set("Token", link.token ?? "none");
    this.#set("Services", link.services.join(", ") || "none");
  }

  /**
   * @param {string} name
   * @param {string} text
   */
  #set(name, text) {
    let value = this.values.get(name);
    if (value === undefined) {
      value = h("bdi");
      this.values.set(name, value);
      this.element.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    }
    setText(value, text);
    setAttributes(value, { title: text.length > 24 ? text : false });
  }
}

/**
 * Return how long the connections of a link outlive its silence.
 * @param {Link} link
 */
function held(link) {
  if (link.silent_for === null) return `up to ${duration(link.hold)}`;
  return `${duration(Math.max(0, link.hold - link.silent_for))} more`;
}

/** @param {Link} link */
function stateOf(link) {
  if (link.silent_for !== null) {
    return { kind: "silent", text: `silent ${duration(link.silent_for)}` };
  }
  return link.is_draining ? { kind: "draining", text: "draining" } : { kind: "up", text: "answers" };
}

/**
 * Return the silences and moves of the last minutes, in words.
 * @param {Link} link
 */
function tell(link) {
  const silent = link.changes.filter((change) => change.kind === "recovered").length;
  const moves = link.changes.filter(isMove).length;
  const parts = [];
  if (silent > 0) parts.push(counted(silent, "silence"));
  if (moves > 0) parts.push(counted(moves, "move"));
  return parts.length === 0 ? "" : `${parts.join(", ")} in 10 min`;
}
