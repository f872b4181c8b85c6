// Numbers as people read them. Units are decimal, as in the program's options.

const PREFIXES = ["", "k", "M", "G", "T", "P"];

/**
 * Return a number of bytes, such as `1.5 MB`.
 * @param {number} count
 */
export function bytes(count) {
  return `${scaled(count)}B`;
}

/**
 * Return a rate in bits, such as `1.5 Mbit/s`, as the commands do.
 * @param {number} bytesPerSecond
 */
export function rate(bytesPerSecond) {
  return `${scaled(bytesPerSecond < 1 ? 0 : bytesPerSecond * 8)}bit/s`;
}

/**
 * Return a duration, such as `2h 05m`.
 * @param {number} seconds
 */
export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${pad(Math.floor(whole / 60) % 60)}m`;
  return `${Math.floor(whole / 86400)}d ${Math.floor(whole / 3600) % 24}h`;
}

/**
 * Return the name of what carries a link's datagrams.
 * @param {import("./types.js").Path} path
 */
export function pathName(path) {
  return path === "udp" ? "UDP" : "WebSocket";
}

/**
 * Return a short time in milliseconds, such as `23 ms`.
 * @param {number} seconds
 */
export function milliseconds(seconds) {
  return `${digits(seconds * 1000, false)} ms`;
}

/**
 * Return a fraction in per cent, such as `0.1 %`.
 * @param {number} fraction
 */
export function percent(fraction) {
  return `${digits(fraction * 100, fraction === 0)} %`;
}

/**
 * Return a whole number with separators.
 * @param {number} value
 */
export function count(value) {
  return value.toLocaleString("en");
}

/**
 * Return a count with its noun, such as `1 client` or `3 clients`.
 * @param {number} value
 * @param {string} noun
 */
export function counted(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/**
 * Return the local time of day.
 * @param {Date} date
 */
export function clock(date) {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(pad).join(":");
}

/**
 * A number with a decimal prefix, and a space between.
 * @param {number} number
 */
function scaled(number) {
  let power = 0;
  let value = number;
  while (value >= 999.5 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${digits(value, power === 0)} ${PREFIXES[power]}`;
}

/**
 * Three digits, or a whole number.
 * @param {number} value
 * @param {boolean} isWhole
 */
function digits(value, isWhole) {
  if (isWhole || value >= 99.95) return value.toFixed(0);
  return value.toFixed(value >= 9.995 ? 1 : 2);
}

/** @param {number} value */
function pad(value) {
  return String(value).padStart(2, "0");
}
