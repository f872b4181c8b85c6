// The last events of the role, as they happen.

import { announce } from "./announcer.js";
import { byId, h, setAttributes, setText } from "./dom.js";
import { clock } from "./format.js";

/** @typedef {import("./types.js").RoleEvent} RoleEvent */

const SHOWN = 200; // rows
const INTERVAL = 250; // milliseconds between two changes of the list
const OWN = new Set(["number", "time", "event", "level", "message"]);
const OF_CLIENTS = ["client-accepted", "client-closed"];
const ANNOUNCED = new Set(["link-silent", "link-recovered", "link-moved", "link-dropped"]);

export class EventList {
  /** @param {(excluded: string[]) => void} choose called with the names of events to leave out */
  constructor(choose) {
    /** @type {RoleEvent[]} those that are not in the list yet, the latest last */
    this.fresh = [];
    this.isPaused = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    this.list = byId("events-list");
    this.withClients = /** @type {HTMLInputElement} */ (byId("events-clients"));
    this.withClients.addEventListener("change", () => {
      this.fresh = [];
      this.list.replaceChildren();
      choose(this.excluded);
    });
    const pause = byId("events-pause");
    pause.addEventListener("click", () => {
      this.isPaused = !this.isPaused;
      setAttributes(pause, { "aria-pressed": String(this.isPaused) });
      setText(pause, this.isPaused ? "Continue" : "Pause");
      this.#show();
    });
  }

  /** The names of events to leave out. A busy role has thousands of these. */
  get excluded() {
    return this.withClients.checked ? [] : OF_CLIENTS;
  }

  /**
   * @param {RoleEvent} event
   * @param {boolean} isNew whether it has happened since the page was loaded
   */
  add(event, isNew) {
    this.fresh.push(event);
    if (this.fresh.length > SHOWN) this.fresh.shift();
    if (isNew && ANNOUNCED.has(event.event)) announce(event.message);
    this.timer ??= setTimeout(() => this.#show(), INTERVAL);
  }

  #show() {
    this.timer = undefined;
    if (this.isPaused) return;
    const rows = this.fresh.map(makeRow);
    this.fresh = [];
    this.list.prepend(...rows.reverse());
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild?.remove();
    byId("events-none").hidden = this.list.childElementCount > 0;
  }
}

/** @param {RoleEvent} event */
function makeRow(event) {
  const fields = Object.entries(event).filter(([name]) => !OWN.has(name));
  return h(
    "li",
    { class: "event", "data-level": event.level },
    h("time", { datetime: event.time, class: "soft number" }, clock(new Date(event.time))),
    h(
      "p",
      {},
      h("b", {}, event.message),
      ...fields.flatMap(([name, value]) => [
        " ",
        h("span", { class: "field" }, h("span", { class: "soft" }, `${name}=`), h("bdi", {}, text(value))),
      ]),
    ),
  );
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function text(value) {
  if (typeof value === "number") return String(Math.round(value * 1000) / 1000);
  if (Array.isArray(value)) return value.map(text).join(", ");
  if (typeof value === "object" && value !== null) return Object.values(value).map(text).join("=");
  return String(value);
}
