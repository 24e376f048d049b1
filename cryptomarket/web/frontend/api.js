// Questions to the REST API of the same gateway, with exact prices: JSON.parse alone would round them.

/** @typedef {import("./series.js").Slot} Slot */

const DECIMAL = /("(?:price|open|high|low|close|equity|balance|available_funds)":)(-?\d+(?:\.\d+)?)(?![\d.eE])/g;

/**
 * The answer to a GET, its prices as text; throws the detail of the problem document when it is refused.
 * @param {string} path @param {Record<string, string | number | null>} query @param {AbortSignal} [signal]
 */
export async function ask(path, query, signal) {
  // Of the gateway this script came from: it may be embedded in a page of another site.
  const response = await fetch(new URL(address(path, query), import.meta.url), signal ? { signal } : {});
  if (!response.ok) throw await refusal(response);
  const text = await response.text();
  return JSON.parse(text.replace(DECIMAL, '$1"$2"'));
}

/**
 * Ask this gateway to do something; throws as `ask` does. Where the answer says when to come back, so does the error.
 * @param {"POST" | "DELETE"} method @param {string} path @param {unknown} [body]
 */
export async function send(method, path, body) {
  const headers = { "content-type": "application/json" };
  const content = body === undefined ? {} : { headers, body: JSON.stringify(body) };
  const response = await fetch(`/api/v1/${path}`, { method, credentials: "same-origin", cache: "no-store", ...content });
  if (!response.ok) throw await refusal(response);
}

/** The error of a problem document, or of an answer that is none. @param {Response} response */
async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  return Object.assign(new Error(problem.detail ?? String(response.status)), { status: response.status });
}

/** Where to ask; what is null or empty is left out. @param {string} path @param {Record<string, string | number | null>} query */
export function address(path, query) {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== null && value !== "") asked.set(name, String(value));
  return `/api/v1/${path}?${asked}`;
}

/**
 * A page of stored prices, in the order asked for.
 * @param {Record<string, string | number | null>} query @param {AbortSignal} [signal]
 * @returns {Promise<{slots: (Slot & {exact_time: number})[], next: string | null, complete: boolean}>}
 */
export async function prices(query, signal) {
  const { data, next, complete } = await ask("prices", query, signal);
  const slots = data.map((/** @type {any} */ row) => ({
    time: row.timestamp,
    exact_time: row.exchange_timestamp / 1000,
    value: Number(row.price),
    text: row.price,
  }));
  return { slots, next, complete };
}

/**
 * A page of candles, in the order asked for.
 * @param {Record<string, string | number | null>} query with a resolution @param {AbortSignal} [signal]
 * @returns {Promise<{slots: Slot[], next: string | null, complete: boolean}>}
 */
export async function candles(query, signal) {
  const { data, next, complete } = await ask("candles", query, signal);
  const slots = data.map((/** @type {any} */ row) => ({
    time: row.timestamp,
    value: Number(row.close),
    text: row.close,
    candle: { open: row.open, high: row.high, low: row.low, count: row.count, partial: row.partial === true },
  }));
  return { slots, next, complete };
}
