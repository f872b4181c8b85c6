// The services: where clients reach each, where it leads, and why it may not work.

import { copyButton } from "./copy.js";
import { byId, h, KeyedList, setAttributes, setText } from "./dom.js";
import { count, counted } from "./format.js";
import { qrButton } from "./qr_dialog.js";

/** @typedef {import("./types.js").Service} Service */

const SHOWN = 100; // services, until the user asks for all

const WEB = /^https?:\/\//;

export class Services {
  constructor() {
    /** @type {Service[]} */
    this.services = [];
    this.isComplete = false;
    /** @type {KeyedList<Service>} */
    this.list = new KeyedList(byId("services-list"), (service) => service.name, makeRow);
    byId("services-all").addEventListener("click", () => {
      this.isComplete = true;
      this.show(this.services);
    });
  }

  /** @param {Service[]} services */
  show(services) {
    this.services = services;
    const shown = this.isComplete ? services : services.slice(0, SHOWN);
    this.list.show(shown);
    byId("services-none").hidden = services.length > 0;
    byId("services-all").hidden = shown.length === services.length;
    setText(byId("services-all"), `Show all ${count(services.length)}`);
    const up = services.filter((service) => service.state === "up").length;
    setText(byId("services-up"), count(up));
    setText(byId("services-total"), `of ${count(services.length)} up`);
  }
}

/** @param {Service} first */
function makeRow(first) {
  const state = h("span", { class: "badge" });
  const places = h("ul", { class: "places" });
  const target = h("bdi");
  const arrow = h("span", { class: "soft", "aria-hidden": "true" }, "→ ");
  const clients = h("span", { class: "soft number" });
  const reason = h("p", { class: "reason" });
  const element = h(
    "li",
    { class: "service" },
    h("div", { class: "service-head" }, h("bdi", { class: "service-name" }, first.name), clients, state),
    places,
    h("p", { class: "service-target mono" }, arrow, target),
    reason,
  );
  let known = "";

  /** @param {Service} service */
  const update = (service) => {
    setAttributes(state, { "data-state": service.state });
    setText(state, service.state);
    setText(clients, counted(service.clients, "client"));
    setText(reason, service.reason ?? "");
    reason.hidden = service.reason === null;
    setText(target, service.target ?? (service.origins.join(", ") || "no origin"));
    const places_now = JSON.stringify([service.urls, service.places]);
    if (places_now !== known) {
      known = places_now;
      places.replaceChildren(...makePlaces(service));
    }
  };
  return { element, update };
}

/** @param {Service} service */
function makePlaces(service) {
  if (service.urls.length > 0) return service.urls.map(makeUrl);
  return service.places.map((place) => h("li", { class: "place" }, h("bdi", { class: "mono" }, place)));
}

/** @param {string} url */
function makeUrl(url) {
  // Only web addresses are links. Any other scheme could run a program of this machine.
  const text = WEB.test(url)
    ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer", class: "mono" }, h("bdi", {}, url))
    : h("bdi", { class: "mono" }, url);
  return h("li", { class: "place" }, text, copyButton(() => url, url), qrButton(url));
}
