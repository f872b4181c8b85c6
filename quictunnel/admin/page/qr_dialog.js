// Shows a public address as a QR code, which the role draws.

import { copyButton } from "./copy.js";
import { byId, h, setText } from "./dom.js";

/** @type {string} */
let shown = "";

/** Prepare the dialog. */
export function prepareQrDialog() {
  byId("qr-copy").replaceWith(copyButton(() => shown, "address"));
}

/**
 * Return a button that shows the code of an address.
 * @param {string} url
 */
export function qrButton(url) {
  const show = () => {
    shown = url;
    setText(byId("qr-url"), url);
    const source = `/api/v1/qr?url=${encodeURIComponent(url)}`;
    byId("qr-code").replaceChildren(
      h("img", { src: source, alt: `QR code of ${url}`, width: 264, height: 264 }),
    );
    /** @type {HTMLDialogElement} */ (byId("qr")).showModal();
  };
  const properties = { type: "button", class: "quiet", "aria-label": `QR code of ${url}`, onclick: show };
  return h("button", properties, h("span", { "aria-hidden": "true" }, "QR"));
}
