// Draws the last minutes of a link: round trip, loss, rates, silences, moves and paths beside UDP.

import { h, setAttributes, setText, svg } from "./dom.js";
import { clock, duration, milliseconds, pathName, percent, rate } from "./format.js";

/** @typedef {import("./types.js").Sample} Sample */
/** @typedef {import("./types.js").Change} Change */
/** @typedef {import("./types.js").Path} Path */

const GUTTER = 72; // pixels left of the plot, for the scales
const RIGHT = 10;
const RTT = { top: 16, height: 54 };
const LOSS = { top: 76, height: 8 };
const RATES = { top: 94, height: 72 };
const BOTTOM = RATES.top + RATES.height;
const HEIGHT = BOTTOM + 20;
const MIN_TOP_RATE = 100_000; // bits per second at the top of the scale
const GAP = 12; // seconds between two samples from which on the line is broken
const STEP = { 120: 30, 600: 120 };
const PATH_HEIGHT = 4;
const LABEL_WIDTH = 74; // pixels that the text of a silence, or of a path, needs
const SHORT_LABEL_WIDTH = 14; // pixels from which on its seconds are shown, beside it if need be

export class Timeline {
  /** @param {string} name the link's name, for a screen reader */
  constructor(name) {
    /** @type {Sample[]} */
    this.history = [];
    /** @type {Change[]} */
    this.changes = [];
    /** @type {Path} */
    this.path = "udp";
    /** @type {120 | 600} */
    this.span = 120;
    this.receivedAt = 0;
    this.width = 0;
    /** What the grid shows now. */
    this.gridKey = "";
    /** @type {number | null} seconds before now that the cursor is at */
    this.cursor = null;
    this.layers = {
      grid: svg("g", { class: "grid-lines" }),
      silences: svg("g", { class: "silences" }),
      paths: svg("g", { class: "paths" }),
      down: svg("path", { class: "rate-down" }),
      up: svg("path", { class: "rate-up" }),
      rtt: svg("path", { class: "rtt" }),
      losses: svg("path", { class: "losses" }),
      moves: svg("g", { class: "moves" }),
      cursor: svg("line", { class: "cursor", y1: RTT.top - 6, y2: BOTTOM, visibility: "hidden" }),
    };
    this.drawing = svg("svg", { height: HEIGHT, "aria-hidden": "true" }, ...Object.values(this.layers));
    this.plot = h("div", {
      class: "plot",
      tabindex: 0,
      role: "slider",
      "aria-label": `Timeline of ${name}`,
      "aria-orientation": "horizontal",
    }, this.drawing);
    this.readout = {
      time: h("span", { class: "readout-time number" }),
      rtt: h("span", { class: "number" }),
      loss: h("span", { class: "number" }),
      down: h("span", { class: "number" }),
      up: h("span", { class: "number" }),
      change: h("span", { class: "readout-change" }),
    };
    this.element = h(
      "figure",
      { class: "timeline" },
      this.plot,
      h(
        "figcaption",
        {},
        this.readout.time,
        h("span", { class: "key rtt" }, "Round trip ", this.readout.rtt),
        h("span", { class: "key losses" }, "Loss ", this.readout.loss),
        h("span", { class: "key rate-down" }, "Down ", this.readout.down),
        h("span", { class: "key rate-up" }, "Up ", this.readout.up),
        this.readout.change,
      ),
    );
    new ResizeObserver(([entry]) => {
      this.width = Math.round(entry?.contentRect.width ?? 0);
      this.draw();
    }).observe(this.plot);
    this.plot.addEventListener("pointermove", (event) => this.#point(event));
    this.plot.addEventListener("pointerdown", (event) => this.#point(event));
    this.plot.addEventListener("pointerleave", () => this.#setCursor(null));
    this.plot.addEventListener("blur", () => this.#setCursor(null));
    this.plot.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /**
   * Show this history.
   * @param {Sample[]} history the latest last
   * @param {Change[]} changes
   * @param {Path} path what carries the link now
   * @param {120 | 600} span seconds to show
   */
  show(history, changes, path, span) {
    if (history.at(-1)?.time !== this.history.at(-1)?.time) this.receivedAt = performance.now();
    this.history = history;
    this.changes = changes;
    this.path = path;
    this.span = span;
    this.draw();
  }

  /** The role's time, which the browser's may differ from: that of the latest sample, and later. */
  get now() {
    const latest = this.history.at(-1)?.time ?? 0;
    return latest + Math.min((performance.now() - this.receivedAt) / 1000, GAP);
  }

  /** Draw everything, if there is room. */
  draw() {
    const plotted = this.width - GUTTER - RIGHT;
    if (plotted < 40) return;
    const now = this.now;
    const start = now - this.span;
    /** @param {number} time */
    const x = (time) => GUTTER + ((time - start) / this.span) * plotted;
    const first = Math.max(0, this.history.findIndex((sample) => sample.time >= start) - 1);
    const samples = this.history.at(-1) === undefined ? [] : this.history.slice(first);
    const topRtt = ceiling(Math.max(0.001, ...samples.map((sample) => (sample.silent ? 0 : (sample.rtt ?? 0)))));
    const rates = samples.map((sample) => Math.max(sample.rate_up, sample.rate_down));
    const topRate = ceiling(Math.max(MIN_TOP_RATE, ...rates.map((each) => each * 8))) / 8;
    setAttributes(this.drawing, { width: this.width, viewBox: `0 0 ${this.width} ${HEIGHT}` });
    this.#drawGrid(plotted, topRtt, topRate);
    this.#drawSilences(x, start, now);
    this.#drawPaths(x, start, now);
    const runs = split(samples);
    /** @param {number} rtt */
    const yRtt = (rtt) => RTT.top + RTT.height * (1 - rtt / topRtt);
    /** @param {number} value */
    const yRate = (value) => BOTTOM - RATES.height * (value / topRate);
    const rtts = runs.flatMap((run) => split(run, (sample) => sample.rtt === null || sample.silent));
    setAttributes(this.layers.rtt, { d: rtts.map((run) => line(run, x, (s) => yRtt(s.rtt ?? 0))).join("") });
    setAttributes(this.layers.down, { d: runs.map((run) => area(run, x, (s) => yRate(s.rate_down))).join("") });
    setAttributes(this.layers.up, { d: runs.map((run) => line(run, x, (s) => yRate(s.rate_up))).join("") });
    setAttributes(this.layers.losses, { d: this.#losses(samples, x) });
    this.#drawMoves(x, start);
    this.#drawCursor(x, now);
  }

  /**
   * @param {number} plotted
   * @param {number} topRtt
   * @param {number} topRate
   */
  #drawGrid(plotted, topRtt, topRate) {
    const key = [this.width, this.span, topRtt, topRate].join();
    if (key === this.gridKey) return;
    this.gridKey = key;
    const lines = [];
    const right = GUTTER + plotted;
    for (const y of [RTT.top, RTT.top + RTT.height, RATES.top, BOTTOM]) {
      lines.push(svg("line", { x1: GUTTER, x2: right, y1: y + 0.5, y2: y + 0.5 }));
    }
    const scale = { x: GUTTER - 8, "text-anchor": "end" };
    lines.push(svg("text", { ...scale, y: RTT.top + 4 }, milliseconds(topRtt).replace(/\.0+ /, " ")));
    lines.push(svg("text", { ...scale, y: LOSS.top + LOSS.height - 1 }, "loss"));
    lines.push(svg("text", { ...scale, y: RATES.top + 6 }, rate(topRate).replace(/\.0+ /, " ")));
    lines.push(svg("text", { ...scale, y: BOTTOM }, "0"));
    const step = plotted < 400 && this.span === 120 ? 60 : STEP[this.span];
    for (let ago = 0; ago <= this.span; ago += step) {
      const at = right - (ago / this.span) * plotted;
      lines.push(svg("line", { x1: at, x2: at, y1: BOTTOM, y2: BOTTOM + 4 }));
      const anchor = ago === 0 ? "end" : ago === this.span ? "start" : "middle";
      const label = ago === 0 ? "now" : ago % 60 === 0 ? `−${ago / 60} min` : `−${ago} s`;
      lines.push(svg("text", { x: at, y: HEIGHT - 3, "text-anchor": anchor }, label));
    }
    this.layers.grid.replaceChildren(...lines);
  }

  /**
   * @param {(time: number) => number} x
   * @param {number} start
   * @param {number} now
   */
  #drawSilences(x, start, now) {
    const bands = silences(this.changes, this.history, now).filter(({ end }) => end > start);
    const shapes = bands.flatMap(({ begin, end, isOver }) => {
      const left = Math.max(x(begin), GUTTER);
      const width = Math.max(x(end) - left, 2);
      const band = svg("rect", { x: left, width, y: RTT.top - 6, height: BOTTOM - RTT.top + 6 });
      if (width < SHORT_LABEL_WIDTH) return [band];
      const label = width < LABEL_WIDTH ? duration(end - begin) : `silent ${duration(end - begin)}`;
      const text = svg("text", { x: left + width / 2, y: RTT.top + RTT.height / 2, "text-anchor": "middle" }, label);
      if (!isOver) band.setAttribute("class", "open");
      return [band, text];
    });
    this.layers.silences.replaceChildren(...shapes);
  }

  /**
   * @param {(time: number) => number} x
   * @param {number} start
   * @param {number} now
   */
  #drawPaths(x, start, now) {
    const begin = Math.max(start, this.history[0]?.time ?? now);
    const bars = pathsBesideUdp(this.changes, this.path, begin, now).flatMap((part) => {
      const left = x(part.begin);
      const width = Math.max(x(part.end) - left, 2);
      const bar = svg("rect", { x: left, width, y: BOTTOM - PATH_HEIGHT, height: PATH_HEIGHT });
      if (width < LABEL_WIDTH) return [bar];
      const label = { x: left + width / 2, y: BOTTOM - PATH_HEIGHT - 3, "text-anchor": "middle" };
      return [bar, svg("text", label, pathName(part.path))];
    });
    this.layers.paths.replaceChildren(...bars);
  }

  /**
   * @param {Sample[]} samples
   * @param {(time: number) => number} x
   */
  #losses(samples, x) {
    let path = "";
    for (const [index, sample] of samples.entries()) {
      const before = samples[index - 1];
      if (sample.loss <= 0 || before === undefined) continue;
      const left = Math.max(x(before.time), GUTTER);
      const width = Math.max(x(sample.time) - left, 1);
      // A tenth is a full bar: at such a loss, most programs suffer.
      const height = LOSS.height * Math.min(1, 0.25 + sample.loss * 7.5);
      path += `M${round(left)} ${LOSS.top + LOSS.height}h${round(width)}v${round(-height)}h${round(-width)}z`;
    }
    return path;
  }

  /**
   * @param {(time: number) => number} x
   * @param {number} start
   */
  #drawMoves(x, start) {
    const moves = this.changes.filter((change) => isMove(change) && change.time >= start);
    const shapes = moves.flatMap(({ time }) => {
      const at = round(x(time));
      return [
        svg("line", { x1: at, x2: at, y1: RTT.top - 6, y2: BOTTOM }),
        svg("path", { d: `M${at} ${RTT.top - 14}l5 5l-5 5l-5 -5z` }),
      ];
    });
    this.layers.moves.replaceChildren(...shapes);
  }

  /**
   * @param {(time: number) => number} x
   * @param {number} now
   */
  #drawCursor(x, now) {
    const time = this.cursor === null ? now : now - this.cursor;
    const sample = this.cursor === null ? this.history.at(-1) : nearest(this.history, time);
    const isShown = this.cursor !== null && sample !== undefined;
    setAttributes(this.layers.cursor, { visibility: isShown ? "visible" : "hidden" });
    if (isShown) setAttributes(this.layers.cursor, { x1: x(sample.time), x2: x(sample.time) });
    const { readout } = this;
    setText(readout.time, isShown ? clock(new Date(sample.time * 1000)) : "now");
    const isSilent = sample?.silent ?? false;
    setText(readout.rtt, isSilent || sample?.rtt == null ? "–" : milliseconds(sample.rtt));
    setText(readout.loss, sample === undefined ? "–" : percent(sample.loss));
    setText(readout.down, sample === undefined ? "–" : rate(sample.rate_down));
    setText(readout.up, sample === undefined ? "–" : rate(sample.rate_up));
    const near = isShown ? this.#changeNear(sample.time) : undefined;
    setText(readout.change, near === undefined ? "" : describe(near));
    setAttributes(this.plot, {
      "aria-valuemin": -this.span,
      "aria-valuemax": 0,
      "aria-valuenow": -Math.round(this.cursor ?? 0),
      "aria-valuetext": Object.values(readout).map((part) => part.textContent).join(" "),
    });
  }

  /** @param {number} time */
  #changeNear(time) {
    const reach = this.span / 60;
    return this.changes.findLast((change) => {
      const begin = change.kind === "recovered" ? change.time - (change.seconds ?? 0) : change.time;
      return time >= begin - reach && time <= change.time + reach;
    });
  }

  /** @param {number | null} ago */
  #setCursor(ago) {
    this.cursor = ago === null ? null : Math.min(Math.max(ago, 0), this.span);
    this.draw();
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const plotted = this.width - GUTTER - RIGHT;
    const at = event.clientX - this.plot.getBoundingClientRect().left - GUTTER;
    this.#setCursor(this.span * (1 - at / plotted));
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const step = this.span / 60;
    const ago = this.cursor ?? 0;
    /** @type {Record<string, number | null>} */
    const targets = {
      ArrowLeft: ago + step,
      ArrowRight: ago - step,
      PageUp: ago + 10 * step,
      PageDown: ago - 10 * step,
      Home: this.span,
      End: 0,
      Escape: null,
    };
    if (!(event.key in targets)) return;
    event.preventDefault();
    this.#setCursor(targets[event.key] ?? null);
  }
}

/**
 * Whether the link has another path from this change on.
 * @param {Change} change
 */
export function isMove(change) {
  if (change.kind === "moved" || change.previous_path != null) return true;
  return change.kind === "recovered" && change.from !== null && change.to !== null && change.from !== change.to;
}

/**
 * Return a change in words.
 * @param {Change} change
 */
export function describe(change) {
  const addresses = isMove(change) && change.from !== null ? `, ${change.from} → ${change.to}` : "";
  const move = `${movedPath(change)}${addresses}`;
  if (change.kind === "moved") return `moved${move}`;
  if (change.kind === "silent") return "silent";
  return `back after ${duration(change.seconds ?? 0)}${move}`;
}

/**
 * Return the new kind of path after a change, and why, in words; "" if it is the same.
 * @param {Change} change
 */
function movedPath(change) {
  if (change.path == null || change.previous_path == null) return "";
  return `, ${pathName(change.previous_path)} → ${pathName(change.path)}${change.reason == null ? "" : ` (${change.reason})`}`;
}

/**
 * Return the times in which something other than UDP carried the link.
 * @param {Change[]} changes
 * @param {Path} path what carries it now
 * @param {number} start
 * @param {number} now
 */
export function pathsBesideUdp(changes, path, start, now) {
  /** @type {{begin: number, end: number, path: Path}[]} */
  const parts = [];
  let end = now;
  let current = path;
  for (const change of [...changes].reverse()) {
    if (change.previous_path == null || change.time < start) continue;
    if (current !== "udp") parts.unshift({ begin: change.time, end, path: current });
    end = change.time;
    current = change.previous_path;
  }
  if (current !== "udp" && end > start) parts.unshift({ begin: start, end, path: current });
  return parts;
}

/**
 * Return the times in which the peer did not answer.
 * @param {Change[]} changes
 * @param {Sample[]} history
 * @param {number} now
 */
export function silences(changes, history, now) {
  /** @type {{begin: number, end: number, isOver: boolean}[]} */
  const bands = [];
  let begin = null;
  for (const change of changes) {
    if (change.kind === "silent") begin ??= change.time - (change.seconds ?? 0);
    if (change.kind !== "recovered") continue;
    bands.push({ begin: change.time - (change.seconds ?? 0), end: change.time, isOver: true });
    begin = null;
  }
  if (begin !== null && history.at(-1)?.silent !== false) bands.push({ begin, end: now, isOver: false });
  return bands;
}

/**
 * Split samples where some are missing, or where `isLeftOut`.
 * @param {Sample[]} samples
 * @param {(sample: Sample) => boolean} isLeftOut
 */
function split(samples, isLeftOut = () => false) {
  /** @type {Sample[][]} */
  const runs = [];
  /** @type {Sample | null} */
  let last = null;
  for (const sample of samples) {
    if (isLeftOut(sample)) {
      last = null;
      continue;
    }
    if (last === null || sample.time - last.time > GAP) runs.push([]);
    runs.at(-1)?.push(sample);
    last = sample;
  }
  return runs;
}

/**
 * @param {Sample[]} run
 * @param {(time: number) => number} x
 * @param {(sample: Sample) => number} y
 */
function line(run, x, y) {
  const points = run.map((sample) => `${round(Math.max(x(sample.time), GUTTER))} ${round(y(sample))}`);
  return points.length === 1 ? `M${points[0]}h1` : `M${points.join("L")}`;
}

/**
 * @param {Sample[]} run
 * @param {(time: number) => number} x
 * @param {(sample: Sample) => number} y
 */
function area(run, x, y) {
  const [first, last] = [run[0], run.at(-1)];
  if (first === undefined || last === undefined) return "";
  const left = round(Math.max(x(first.time), GUTTER));
  return `${line(run, x, y)}L${round(x(last.time))} ${BOTTOM}L${left} ${BOTTOM}z`;
}

/**
 * @param {Sample[]} history
 * @param {number} time
 * @returns {Sample | undefined}
 */
function nearest(history, time) {
  let low = 0;
  let high = history.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((history[middle]?.time ?? 0) < time) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [history[low - 1], history[low]];
  if (before === undefined || after === undefined) return before ?? after;
  return time - before.time < after.time - time ? before : after;
}

/**
 * Return the next round number: 1, 2 or 5 with zeros.
 * @param {number} value
 */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * ([1, 2, 5, 10].find((factor) => factor * power >= value * 0.9999) ?? 10);
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
