// Asks before something that cannot be undone.

import { byId, setText } from "./dom.js";

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
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "agree");
    dialog.addEventListener("close", closed, { once: true });
  });
}
