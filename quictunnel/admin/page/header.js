// The role as a whole: its state, and its figures.

import { byId, setAttributes, setText } from "./dom.js";
import { bytes, count, counted, duration, rate } from "./format.js";

/** @typedef {import("./types.js").Status} Status */
/** @typedef {import("./types.js").Link} Link */

/**
 * Show the state, the uptime and the limits.
 * @param {Status} status
 * @param {Link[]} links
 */
export function showStatus(status, links) {
  const state = stateOf(status, links);
  setAttributes(byId("state"), { "data-state": state.kind });
  setText(byId("state-text"), state.text);
  setText(byId("state-detail"), state.detail);
  setText(byId("role"), status.role);
  setText(byId("name"), status.name);
  setText(byId("version"), `quictunnel ${status.version}`);
  setText(byId("engine"), status.engine);
  setText(byId("uptime"), duration(status.age));
  setText(byId("clients-now"), count(status.clients));
  setText(byId("clients-max"), `of ${count(status.max_clients)}`);
  setText(byId("unread"), bytes(status.unread_bytes));
  setText(byId("addresses-label"), status.role === "remote" ? "Listens on" : "Remote");
  setText(byId("addresses"), status.addresses.join("  ·  "));
  document.title = `${state.text} · ${status.role} ${status.name} · quictunnel`;
}

/**
 * Show what all links carry together.
 * @param {Link[]} links
 */
export function showTraffic(links) {
  let up = 0;
  let down = 0;
  for (const link of links) {
    const sample = link.history.at(-1);
    up += sample?.rate_up ?? 0;
    down += sample?.rate_down ?? 0;
  }
  setText(byId("rate-up"), rate(up));
  setText(byId("rate-down"), rate(down));
  setText(byId("links-now"), count(links.length));
  const silent = links.filter((link) => link.silent_for !== null).length;
  setText(byId("links-silent"), silent === 0 ? "all answer" : `${count(silent)} silent`);
  if (links.length === 0) setText(byId("links-silent"), "none");
}

/**
 * @param {Status} status
 * @param {Link[]} links
 */
function stateOf(status, links) {
  const silent = links.filter((link) => link.silent_for !== null);
  if (status.is_draining) {
    const detail = `It accepts no new clients, and ends when ${counted(status.clients, "client")} left.`;
    return { kind: "draining", text: "Draining", detail };
  }
  if (silent.length > 0 && silent.length === links.length) {
    const held = silent.reduce((sum, link) => sum + link.clients, 0);
    const detail = `No link answers. ${counted(held, "connection")} held until it does.`;
    return { kind: "silent", text: "Silent", detail };
  }
  if (!status.is_ready) {
    return { kind: "failed", text: "Not ready", detail: status.reason ?? "" };
  }
  if (silent.length > 0) {
    const detail = `${silent.length} of ${links.length} links do not answer.`;
    return { kind: "silent", text: "Ready", detail };
  }
  const details = ["No origin is connected.", "The link answers."];
  const detail = details[links.length] ?? "All links answer.";
  return { kind: "ready", text: "Ready", detail };
}
