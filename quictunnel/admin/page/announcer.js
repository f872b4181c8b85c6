// Tells a screen reader what has just happened.

import { byId } from "./dom.js";

/** @param {string} sentence */
export function announce(sentence) {
  byId("announcer").textContent = sentence;
}
