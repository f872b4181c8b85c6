// Requests to the API of the admin interface.

const TIMEOUT = 10_000; // milliseconds

export class ApiError extends Error {
  /**
   * @param {string} message one sentence
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Return the answer to a GET request.
 * @param {string} path below /api/v1/
 * @returns {Promise<any>}
 */
export async function get(path) {
  return answer(await fetch(`/api/v1/${path}`, { signal: AbortSignal.timeout(TIMEOUT) }));
}

/**
 * Send a command, and return its answer.
 * @param {string} path below /api/v1/
 * @returns {Promise<any>}
 */
export async function post(path) {
  const request = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: "{}",
    signal: AbortSignal.timeout(TIMEOUT),
  };
  return answer(await fetch(`/api/v1/${path}`, request));
}

/** @param {Response} response */
async function answer(response) {
  const text = await response.text();
  /** @type {any} */
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    // It is not this API that answers, such as a proxy in between.
  }
  if (!response.ok) {
    throw new ApiError(value?.error ?? `the answer has the status ${response.status}`, response.status);
  }
  return value ?? {};
}
