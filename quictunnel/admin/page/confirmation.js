// Asks before something that cannot be undone.

import { byId, setText } from "./dom.js";

/** @type {((agrees: boolean) => void) | null} */
let settle = null;

/** @param {boolean} agrees */
function answer(agrees) {
  settle?.(agrees);
  settle = null;
}

// The event "close" comes later, when the next question may be open already.
byId("confirmation").addEventListener("cancel", () => answer(false));
byId("confirmation").addEventListener("submit", (event) => {
  answer(/** @type {SubmitEvent} */ (event).submitter === byId("confirmation-agree"));
});

/**
 * Ask, and return whether the user agrees.
 * @param {string} title
 * @param {string} text
 * @param {string} action the name of the button that agrees
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, action) {
  const dialog = /** @type {HTMLDialogElement} */ (byId("confirmation"));
  setText(byId("confirmation-title"), title);
  setText(byId("confirmation-text"), text);
  setText(byId("confirmation-agree"), action);
  answer(false);
  dialog.showModal();
  return new Promise((resolve) => {
    settle = resolve;
  });
}
