// Builds and changes elements. Text is inserted as text, never as markup.

/** @typedef {string | number | boolean | null | undefined | EventListener} Property */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Return a new HTML element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, Property>} properties attributes; `onclick` and the like are listeners
 * @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else setAttribute(element, name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Return a new SVG element.
 * @param {string} tag
 * @param {Record<string, Property>} attributes
 * @param {(Node | string)[]} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Set attributes that differ. `false` and missing values remove an attribute.
 * @param {Element} element
 * @param {Record<string, Property>} attributes
 */
export function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(element, name, value);
}

/**
 * @param {Element} element
 * @param {string} name
 * @param {Property} value
 */
function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * Set an element's text if it differs, so that a selection in it stays.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Return the element of this id.
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * A list of elements, one for each item. An element stays as long as its item's key does.
 * @template Item
 */
export class KeyedList {
  /**
   * @param {Element} parent
   * @param {(item: Item) => string} keyOf
   * @param {(item: Item) => {element: Element, update: (item: Item) => void}} make
   */
  constructor(parent, keyOf, make) {
    this.parent = parent;
    this.keyOf = keyOf;
    this.make = make;
    /** @type {Map<string, {element: Element, update: (item: Item) => void}>} */
    this.rows = new Map();
  }

  /**
   * Show these items, in this order.
   * @param {Item[]} items
   */
  show(items) {
    const before = this.rows;
    this.rows = new Map();
    /** @type {Element | null} */
    let last = null;
    for (const item of items) {
      const key = this.keyOf(item);
      const row = before.get(key) ?? this.make(item);
      before.delete(key);
      this.rows.set(key, row);
      row.update(item);
      /** @type {Element | null} */
      const next = last === null ? this.parent.firstElementChild : last.nextElementSibling;
      if (next !== row.element) this.parent.insertBefore(row.element, next);
      last = row.element;
    }
    for (const row of before.values()) row.element.remove();
  }
}
