// What a program adds to the page. It is replaced if there is something; see `PageExtension`.

/**
 * Add something to the page, above everything else.
 * @param {HTMLElement} _parent
 */
export function extend(_parent) {}
