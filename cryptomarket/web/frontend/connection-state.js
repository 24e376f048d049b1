// The lamp in the head of a page: our own stream first, then the gateway's way to the exchange.

import { find } from "./dom.js";

/** @typedef {import("./stream.js").CryptoMarketStream} Stream */

/**
 * Keep the lamp right; gives a question for the state that is shown.
 * @param {Stream} stream @param {import("./i18n.js").Messages} messages @param {(text: string) => void} changed
 */
export function showConnectionState(stream, messages, changed) {
  let upstream = "opening";
  const lamp = find("#state", HTMLElement);
  const text = find("#state-text", HTMLElement);

  function show() {
    const state = stream.link === "lost" ? "lost" : upstream;
    if (lamp.dataset.state === state) return;
    lamp.dataset.state = state;
    text.textContent = messages.text(`state.${state}`);
    changed(text.textContent);
  }

  stream.addEventListener("link", show);
  stream.addEventListener("connection", (event) => {
    const said = /** @type {CustomEvent} */ (event).detail;
    if (said.kind === "upstream") upstream = said.state;
    show();
  });
  return () => lamp.dataset.state ?? "opening";
}
