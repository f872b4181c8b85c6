// Asks for a value again and again while the page is visible.

const MIN_INTERVAL = 100; // milliseconds between two attempts, however often `askNow` is called
const MAX_INTERVAL = 10_000; // milliseconds between two attempts after failures

export class Polling {
  /**
   * @param {number} interval milliseconds from an answer to the next question
   * @param {() => Promise<void>} ask asks once, and shows the answer
   * @param {(error: unknown) => void} report called with the error, or null, after each attempt
   */
  constructor(interval, ask, report) {
    this.interval = interval;
    this.ask = ask;
    this.report = report;
    this.failures = 0;
    this.endedAt = -Infinity;
    this.isAsking = false;
    this.isDue = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.askNow();
    });
  }

  /** Ask now, or as soon as the question in flight is answered. */
  async askNow() {
    if (this.isAsking) {
      this.isDue = true;
      return;
    }
    const wait = this.endedAt + MIN_INTERVAL - performance.now();
    if (wait > 0) {
      this.#askAfter(wait);
      return;
    }
    clearTimeout(this.timer);
    this.isAsking = true;
    this.isDue = false;
    try {
      await this.ask();
      this.failures = 0;
      this.report(null);
    } catch (error) {
      this.failures += 1;
      this.report(error);
    }
    this.isAsking = false;
    this.endedAt = performance.now();
    if (this.isDue && this.failures === 0) this.#askAfter(MIN_INTERVAL);
    else if (!document.hidden) {
      this.#askAfter(Math.min(this.interval * 2 ** this.failures, MAX_INTERVAL));
    }
  }

  /** @param {number} wait milliseconds */
  #askAfter(wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.askNow(), wait);
  }
}
