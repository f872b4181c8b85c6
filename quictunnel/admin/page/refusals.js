// Services, origins and clients that were refused lately.

import { byId, h } from "./dom.js";
import { clock } from "./format.js";

/** @typedef {import("./types.js").RoleEvent} RoleEvent */

const SUBJECTS = ["service", "origin", "client", "peer", "remote"];

/**
 * Show refusals, the latest first.
 * @param {RoleEvent[]} refusals
 */
export function showRefusals(refusals) {
  byId("refusals-none").hidden = refusals.length > 0;
  byId("refusals-list").replaceChildren(...refusals.map(makeRow));
}

/** @param {RoleEvent} refusal */
function makeRow(refusal) {
  const subjects = SUBJECTS.filter((name) => typeof refusal[name] === "string");
  const others = Number(refusal.suppressed ?? 0);
  return h(
    "li",
    { class: "refusal" },
    h("time", { datetime: refusal.time, class: "soft number" }, clock(new Date(refusal.time))),
    h(
      "p",
      {},
      h("b", {}, refusal.message),
      ...subjects.slice(0, 2).flatMap((name) => [" ", h("bdi", { class: "mono" }, String(refusal[name]))]),
      h("span", { class: "reason" }, h("bdi", {}, String(refusal.reason ?? ""))),
      ...(others > 0 ? [h("span", { class: "soft" }, ` and ${others} more like it`)] : []),
    ),
  );
}
