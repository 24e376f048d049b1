// Requests to the REST API. Prices stay exact texts: JSON.parse alone would round them.

/** @typedef {import("./series.js").Slot} Slot */
/** @typedef {Record<string, string | number | null>} Query parameters; null and "" are left out */

const DECIMAL = /("(?:price|open|high|low|close|equity|balance|available_funds)":)(-?\d+(?:\.\d+)?)(?![\d.eE])/g;

/** How often a request that the rate limit refused is repeated, and the longest wait before one. */
const MAX_REPEATS = 3;
const MAX_WAIT_MS = 10_000;
/** The wait where the answer tells none: a page of another origin cannot read `Retry-After`. */
const WAIT_SECONDS = 2;

/**
 * The JSON of a GET request, prices as text; throws an error with the detail of the problem document and its `status`.
 * A long range takes many requests, which the rate limit slows down: one that it refuses is repeated after the wait.
 * @param {string} path below /api/v1/ @param {Query} query @param {AbortSignal} [signal]
 */
export async function get(path, query, signal) {
  // Relative to this script: it may be embedded in a page of another origin.
  const address = new URL(apiPath(path, query), import.meta.url);
  let response = await fetch(address, signal ? { signal } : {});
  for (let repeat = 0; response.status === 429 && repeat < MAX_REPEATS; repeat++) {
    const seconds = Number(response.headers.get("retry-after")) || WAIT_SECONDS;
    // Jitter, so that the pages behind one address do not return at the same time.
    const wait = Math.min(seconds * 1000 * (1 + Math.random()), MAX_WAIT_MS);
    await new Promise((resolve) => setTimeout(resolve, wait));
    signal?.throwIfAborted();
    response = await fetch(address, signal ? { signal } : {});
  }
  if (!response.ok) throw await problem(response);
  const text = await response.text();
  return JSON.parse(text.replace(DECIMAL, '$1"$2"'));
}

/** Send a request that changes something; returns its answer, null without one; throws as `get` does. @param {"POST" | "DELETE"} method @param {string} path @param {unknown} [body] */
export async function send(method, path, body) {
  const headers = { "content-type": "application/json" };
  const content = body === undefined ? {} : { headers, body: JSON.stringify(body) };
  const response = await fetch(`/api/v1/${path}`, { method, credentials: "same-origin", cache: "no-store", ...content });
  if (!response.ok) throw await problem(response);
  return response.status === 204 ? null : response.json();
}

/** @param {Response} response */
async function problem(response) {
  const document = await response.json().catch(() => ({}));
  return Object.assign(new Error(document.detail ?? String(response.status)), { status: response.status });
}

/** The path and query of a request. @param {string} path @param {Query} query */
export function apiPath(path, query) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== "") parameters.set(name, String(value));
  return `/api/v1/${path}?${parameters}`;
}

/**
 * A page of stored prices, or of candles when the query has a resolution.
 * @param {Query} query @param {AbortSignal} [signal]
 * @returns {Promise<{slots: Slot[], next: string | null, complete: boolean}>}
 */
export async function getSlots(query, signal) {
  const { data, next, complete } = await get(slotPath(query), query, signal);
  const slots = data.map((/** @type {any} */ row) =>
    query.resolution
      ? { time: row.timestamp, value: Number(row.close), text: row.close, candle: { ...row, partial: row.partial === true } }
      : { time: row.timestamp, value: Number(row.price), text: row.price, tickTime: row.exchange_timestamp / 1000 },
  );
  return { slots, next, complete };
}

/** The route of that query. @param {Query} query */
export function slotPath({ resolution }) {
  return resolution ? "candles" : "prices";
}
