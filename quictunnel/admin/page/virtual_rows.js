// Shows a long list with only the rows that are in view. Rows are reused.

import { h } from "./dom.js";

const SPARE = 4; // rows above and below the view

/**
 * A scrolling area whose rows have one height.
 *
 * @callback MakeRow
 * @returns {HTMLElement}
 *
 * @callback FillRow
 * @param {HTMLElement} row
 * @param {number} index
 * @returns {void}
 */
export class VirtualRows {
  /**
   * @param {HTMLElement} viewport scrolls; its custom property --row is the height of a row
   * @param {MakeRow} make
   * @param {FillRow} fill
   * @param {() => void} onScroll called when other rows are in view
   */
  constructor(viewport, make, fill, onScroll) {
    this.viewport = viewport;
    this.make = make;
    this.fill = fill;
    this.total = 0;
    this.height = 32;
    /** @type {HTMLElement[]} the row of index i is number i % rows.length */
    this.rows = [];
    this.space = h("div", { class: "rows", role: "rowgroup" });
    viewport.append(this.space);
    let isDue = false;
    const changed = () => {
      if (isDue) return;
      isDue = true;
      requestAnimationFrame(() => {
        isDue = false;
        this.render();
        onScroll();
      });
    };
    viewport.addEventListener("scroll", changed, { passive: true });
    new ResizeObserver(changed).observe(viewport);
  }

  /** The indices of the first row in view, and of the one behind the last. */
  get range() {
    const first = Math.floor(this.viewport.scrollTop / this.height);
    const last = Math.ceil((this.viewport.scrollTop + this.viewport.clientHeight) / this.height);
    return { first: Math.min(first, this.total), last: Math.min(last, this.total) };
  }

  /** @param {number} total the number of rows */
  resize(total) {
    this.total = total;
    this.render();
  }

  /** Put the rows that are in view where they belong, and fill them. */
  render() {
    const style = getComputedStyle(this.viewport);
    this.height = parseFloat(style.getPropertyValue("--row")) || this.height;
    this.space.style.height = `${this.total * this.height}px`;
    const { first, last } = this.range;
    const begin = Math.max(0, first - SPARE);
    const end = Math.min(this.total, last + SPARE);
    const needed = Math.ceil(this.viewport.clientHeight / this.height) + 1 + 2 * SPARE;
    while (this.rows.length < needed) {
      const row = this.make();
      row.hidden = true;
      this.rows.push(row);
      this.space.append(row);
    }
    for (const row of this.rows.splice(needed)) row.remove();
    /** @type {Set<HTMLElement>} */
    const used = new Set();
    for (let index = begin; index < end; index += 1) {
      const row = this.rows[index % needed];
      if (row === undefined) continue;
      used.add(row);
      row.hidden = false;
      row.style.transform = `translateY(${index * this.height}px)`;
      this.fill(row, index);
    }
    for (const row of this.rows) if (!used.has(row)) row.hidden = true;
  }

  /**
   * Scroll as little as possible, so that a row is in view.
   * @param {number} index
   * @param {number} covered pixels at the top that something else covers
   */
  reveal(index, covered) {
    const top = index * this.height;
    const { scrollTop, clientHeight } = this.viewport;
    if (top < scrollTop) this.viewport.scrollTop = top;
    const bottom = top + this.height + covered;
    if (bottom > scrollTop + clientHeight) this.viewport.scrollTop = bottom - clientHeight;
  }
}
