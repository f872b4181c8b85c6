// Keeps the samples of links, so that each answer needs to have only the new ones.

/** @typedef {import("./types.js").Link} Link */
/** @typedef {import("./types.js").Sample} Sample */

const PERIOD = 610; // seconds

export class LinkHistories {
  constructor() {
    /** @type {Map<string, Sample[]>} */
    this.histories = new Map();
  }

  /** The time from which on samples are needed: that of the latest one; 0 without any. */
  get since() {
    let since = Infinity;
    for (const history of this.histories.values()) since = Math.min(since, history.at(-1)?.time ?? 0);
    return Number.isFinite(since) ? Math.floor(since) : 0;
  }

  /**
   * Complete the histories of these links, which are all links.
   * @param {Link[]} links
   */
  complete(links) {
    const before = this.histories;
    this.histories = new Map();
    for (const link of links) {
      const known = before.get(link.id) ?? [];
      const latest = known.at(-1)?.time ?? 0;
      const history = [...known, ...link.history.filter((sample) => sample.time > latest)];
      const start = (history.at(-1)?.time ?? 0) - PERIOD;
      const first = history.findIndex((sample) => sample.time >= start);
      link.history = first > 0 ? history.slice(first) : history;
      if (link.history.length > 0) this.histories.set(link.id, link.history);
    }
  }
}
