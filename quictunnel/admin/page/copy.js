// A button that copies a text.

import { announce } from "./announcer.js";
import { h, setAttributes, setText } from "./dom.js";

const SHOWN_FOR = 1500; // milliseconds

/**
 * @param {() => string} text what to copy
 * @param {string} name what it is, for a screen reader
 */
export function copyButton(text, name) {
  const label = h("span", { "aria-hidden": "true" }, "Copy");
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const button = h("button", { type: "button", class: "quiet", "aria-label": `Copy ${name}` }, label);
  button.addEventListener("click", async () => {
    const isCopied = await copy(text());
    announce(isCopied ? `${name} copied` : `${name} could not be copied`);
    setText(label, isCopied ? "Copied" : "Failed");
    setAttributes(button, { "data-done": isCopied });
    clearTimeout(timer);
    timer = setTimeout(() => {
      setText(label, "Copy");
      setAttributes(button, { "data-done": false });
    }, SHOWN_FOR);
  });
  return button;
}

/**
 * Copy a text; return whether that has worked.
 * @param {string} text
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // The clipboard needs HTTPS or an address of this machine, and the user's permission.
  }
  const field = h("textarea", { class: "offscreen", readonly: true });
  field.value = text;
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  try {
    return document.execCommand("copy");
  } finally {
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}
