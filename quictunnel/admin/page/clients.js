// The clients: a sortable list that asks only for the rows in view.

import { announce } from "./announcer.js";
import { post } from "./api.js";
import { confirmed } from "./confirmation.js";
import { byId, h, setAttributes, setText } from "./dom.js";
import { bytes, counted, duration, rate } from "./format.js";
import { VirtualRows } from "./virtual_rows.js";

/** @typedef {import("./types.js").Client} Client */
/** @typedef {import("./types.js").Service} Service */
/** @typedef {{key: string, name: string, isNumber: boolean, text: (client: Client) => string}} Column */

const AHEAD = 40; // rows to ask for above and below the view
const PAGE = 10; // rows that Page Up and Page Down move by

/** @type {Column[]} */
const COLUMNS = [
  { key: "address", name: "Address", isNumber: false, text: (client) => client.address ?? "unknown" },
  { key: "service", name: "Service", isNumber: false, text: (client) => client.service },
  { key: "origin", name: "Origin", isNumber: false, text: (client) => client.origin ?? "–" },
  { key: "state", name: "State", isNumber: false, text: (client) => client.state },
  { key: "age", name: "Age", isNumber: true, text: (client) => duration(client.age) },
  { key: "bytes_up", name: "Up", isNumber: true, text: (client) => bytes(client.bytes_up) },
  { key: "bytes_down", name: "Down", isNumber: true, text: (client) => bytes(client.bytes_down) },
  { key: "rate_up", name: "Up rate", isNumber: true, text: (client) => rate(client.rate_up) },
  { key: "rate_down", name: "Down rate", isNumber: true, text: (client) => rate(client.rate_down) },
];

export class Clients {
  /**
   * @param {boolean} isRemote an origin's clients have one origin
   * @param {() => void} askNow asks for the rows again, soon
   */
  constructor(isRemote, askNow) {
    this.askNow = askNow;
    this.columns = COLUMNS.filter(({ key }) => isRemote || key !== "origin");
    this.sort = "age";
    this.isDescending = true;
    this.total = 0;
    this.active = 0;
    this.offered = "";
    /** @type {Map<number, Client>} by index, those of the last answer */
    this.known = new Map();
    this.grid = byId("clients-grid");
    setAttributes(this.grid, { "data-columns": this.columns.length, "aria-colcount": this.columns.length + 1 });
    this.headers = this.columns.map((column) => this.#makeHeader(column));
    this.head = h("div", { class: "row head", role: "row", "aria-rowindex": 1 }, ...this.headers, h("span"));
    this.grid.append(this.head);
    this.rows = new VirtualRows(
      this.grid,
      () => this.#makeRow(),
      (row, index) => this.#fillRow(row, index),
      () => this.#onScroll(),
    );
    this.filter = /** @type {HTMLSelectElement} */ (byId("clients-service"));
    this.order = /** @type {HTMLSelectElement} */ (byId("clients-sort"));
    this.order.append(...this.columns.map(({ key, name }) => h("option", { value: key }, name)));
    this.filter.addEventListener("change", () => this.#restart());
    this.order.addEventListener("change", () => this.#sortBy(this.order.value));
    byId("clients-direction").addEventListener("click", () => this.#sortBy(this.sort));
    this.grid.addEventListener("keydown", (event) => this.#onKey(event));
    this.#showOrder();
  }

  /**
   * The parameters of a question for the rows in view.
   * @returns {Record<string, string>}
   */
  get question() {
    const { first, last } = this.rows.range;
    const offset = Math.max(0, first - AHEAD);
    const service = this.filter.value;
    return {
      offset: String(offset),
      limit: String(Math.max(last, first + 1) + AHEAD - offset),
      sort: this.sort,
      descending: String(this.isDescending),
      ...(service === "" ? {} : { service }),
    };
  }

  /**
   * Show an answer.
   * @param {{total: number, clients: Client[]}} answer
   * @param {number} offset index of its first client
   */
  show(answer, offset) {
    this.total = answer.total;
    this.active = Math.min(this.active, Math.max(0, this.total - 1));
    this.known = new Map(answer.clients.map((client, index) => [offset + index, client]));
    setAttributes(this.grid, { "aria-rowcount": this.total + 1 });
    setText(byId("clients-total"), counted(this.total, "client"));
    byId("clients-none").hidden = this.total > 0;
    this.rows.resize(this.total);
  }

  /** @param {Service[]} services that may be selected */
  offerServices(services) {
    const names = services.map((service) => service.name);
    const key = JSON.stringify(names);
    if (key === this.offered) return;
    this.offered = key;
    const { value } = this.filter;
    const options = names.map((name) => h("option", { value: name }, name));
    this.filter.replaceChildren(h("option", { value: "" }, "All services"), ...options);
    this.filter.value = names.includes(value) ? value : "";
  }

  /** @param {Column} column */
  #makeHeader({ key, name, isNumber }) {
    const button = h("button", { type: "button", onclick: () => this.#sortBy(key) }, name);
    const kind = isNumber ? "number" : false;
    return h("span", { role: "columnheader", class: kind, "data-column": key }, button);
  }

  #makeRow() {
    const cells = this.columns.map(({ key, isNumber }) => {
      const text = h("bdi");
      return h("span", { role: "gridcell", "data-column": key, class: isNumber ? "number" : false }, text);
    });
    const close = h("button", { type: "button", class: "quiet close", tabindex: -1 }, "✕");
    const row = h("div", { class: "row", role: "row" }, ...cells, h("span", { role: "gridcell" }, close));
    close.addEventListener("click", () => this.#close(Number(row.dataset.index)));
    row.addEventListener("click", () => this.#activate(Number(row.dataset.index)));
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {number} index
   */
  #fillRow(row, index) {
    const client = this.known.get(index);
    setAttributes(row, {
      id: `client-${index}`,
      "data-index": index,
      "aria-rowindex": index + 2,
      "data-missing": client === undefined,
      "data-active": index === this.active,
    });
    for (const [number, column] of this.columns.entries()) {
      const cell = row.children[number]?.firstElementChild;
      const text = client === undefined ? "" : column.text(client);
      if (cell && cell.textContent !== text) {
        setText(cell, text);
        setAttributes(cell, { title: column.isNumber ? false : text });
      }
    }
    setAttributes(row, { "data-state": client?.state ?? false });
    const close = row.lastElementChild?.firstElementChild;
    if (close) setAttributes(close, { "aria-label": `Close ${client?.address ?? "client"}` });
  }

  #onScroll() {
    const { first, last } = this.rows.range;
    for (let index = first; index < last; index += 1) {
      if (!this.known.has(index)) {
        this.askNow();
        return;
      }
    }
  }

  /** @param {string} key */
  #sortBy(key) {
    const column = this.columns.find((each) => each.key === key);
    this.isDescending = this.sort === key ? !this.isDescending : column?.isNumber === true;
    this.sort = key;
    this.#showOrder();
    this.#restart();
  }

  #showOrder() {
    const direction = this.isDescending ? "descending" : "ascending";
    for (const header of this.headers) {
      const isSorted = header.dataset.column === this.sort;
      setAttributes(header, { "aria-sort": isSorted ? direction : "none" });
    }
    this.order.value = this.sort;
    const button = byId("clients-direction");
    setText(button, this.isDescending ? "↓" : "↑");
    setAttributes(button, { "aria-label": `Order: ${direction}` });
  }

  #restart() {
    this.active = 0;
    this.grid.scrollTop = 0;
    this.askNow();
  }

  /** @param {number} index */
  #activate(index) {
    this.active = Math.min(Math.max(index, 0), Math.max(0, this.total - 1));
    this.rows.reveal(this.active, this.head.offsetHeight);
    this.rows.render();
    setAttributes(this.grid, { "aria-activedescendant": `client-${this.active}` });
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    if (event.target !== this.grid) return;
    /** @type {Record<string, number>} */
    const targets = {
      ArrowDown: this.active + 1,
      ArrowUp: this.active - 1,
      PageDown: this.active + PAGE,
      PageUp: this.active - PAGE,
      Home: 0,
      End: this.total - 1,
    };
    const target = targets[event.key];
    if (target !== undefined) this.#activate(target);
    else if (event.key === "Delete" || event.key === "Enter") this.#close(this.active);
    else return;
    event.preventDefault();
  }

  /** @param {number} index */
  async #close(index) {
    const client = this.known.get(index);
    if (client === undefined) return;
    const name = client.address ?? "this client";
    const done = `${bytes(client.bytes_up)} up, ${bytes(client.bytes_down)} down, in ${duration(client.age)}`;
    const text = `${name} uses ${client.service}: ${done}. Its connection is reset at both ends.`;
    if (await confirmed("Close this connection?", text, "Close connection")) {
      try {
        await post(`clients/${encodeURIComponent(client.id)}/close`);
        announce(`${name} closed`);
        setText(byId("clients-message"), "");
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        setText(byId("clients-message"), `${name} was not closed: ${reason}`);
        announce(`${name} was not closed: ${reason}`);
      }
      this.askNow();
    }
    this.grid.focus();
  }
}
