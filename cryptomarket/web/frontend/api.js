// Questions to the REST API of the same gateway, with exact prices: JSON.parse alone would round them.

/** @typedef {import("./slots.js").Slot} Slot */

const PRICE = /("price":)(-?\d+(?:\.\d+)?)/g;

/**
 * The answer to a GET; throws the detail of the problem document when it is refused.
 * @param {string} path @param {Record<string, string | number>} query @param {AbortSignal} [signal]
 */
export async function ask(path, query, signal) {
  const asked = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`/api/v1/${path}?${asked}`, signal ? { signal } : {});
  const text = await response.text();
  if (!response.ok) throw new Error(JSON.parse(text).detail ?? String(response.status));
  return JSON.parse(text.replace(PRICE, '$1"$2"'));
}

/**
 * A page of stored prices, in the order asked for.
 * @param {Record<string, string | number>} query @param {AbortSignal} [signal]
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
