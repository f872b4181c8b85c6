// Shows whether the role answers.

import { ApiError } from "./api.js";
import { byId, setAttributes, setText } from "./dom.js";
import { clock } from "./format.js";

export class Connection {
  constructor() {
    /** @type {Set<string>} */
    this.failing = new Set();
    /** @type {Date | null} */
    this.failedAt = null;
    this.isSignedOut = false;
  }

  /**
   * Take note of an attempt.
   * @param {string} question which one
   * @param {unknown} error null if it was answered
   */
  report(question, error) {
    if (error === null) this.failing.delete(question);
    else this.failing.add(question);
    if (this.failing.size === 0) this.failedAt = null;
    else this.failedAt ??= new Date();
    this.isSignedOut = error instanceof ApiError && error.status === 401;
    this.#show(error);
  }

  /** @param {unknown} error */
  #show(error) {
    const isLost = this.failedAt !== null;
    setAttributes(document.body, { "data-lost": isLost });
    const banner = byId("banner");
    banner.hidden = !isLost;
    if (this.failedAt === null) return;
    if (this.isSignedOut) {
      setText(byId("banner-text"), "You are signed out. Load the page again to sign in.");
    } else if (error instanceof ApiError) {
      setText(byId("banner-text"), `The role does not answer as expected: ${error.message}.`);
    } else if (error !== null) {
      const since = clock(this.failedAt);
      setText(byId("banner-text"), `No answer since ${since}. What you see is older. Trying again …`);
    }
  }
}
