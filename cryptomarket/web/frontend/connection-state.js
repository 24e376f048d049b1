// The connection state in the header of a page: first the page's own stream, then the gateway's link to the exchange.

import { find } from "./dom.js";

/** @typedef {import("./stream.js").CryptoMarketStream} Stream */

/**
 * Keep the shown state up to date; returns a function that returns it.
 * @param {Stream} stream @param {import("./i18n.js").Messages} messages @param {(text: string) => void} onChange
 */
export function showConnectionState(stream, messages, onChange) {
  let upstream = "opening";
  const indicator = find("#state", HTMLElement);
  const text = find("#state-text", HTMLElement);

  function update() {
    const state = stream.link === "lost" ? "lost" : upstream;
    if (indicator.dataset.state === state) return;
    indicator.dataset.state = state;
    text.textContent = messages.text(`state.${state}`);
    onChange(text.textContent);
  }

  stream.addEventListener("link", update);
  stream.addEventListener("connection", (event) => {
    const { detail } = /** @type {CustomEvent} */ (event);
    if (detail.kind === "upstream") upstream = detail.state;
    update();
  });
  return () => indicator.dataset.state ?? "opening";
}
