// The form that adds tickers of the catalogue to the board, with suggestions while typing.

import { get } from "./api.js";
import { find } from "./dom.js";

/** @typedef {import("./i18n.js").Messages} Messages */

/** The limit of one stream. */
const MAX_TICKERS = 20;
const DEBOUNCE_MS = 150;

/**
 * @param {Messages} messages @param {() => string[]} shown the tickers on the board
 * @param {(ticker: string) => void} add
 */
export function startTickerPicker(messages, shown, add) {
  const form = find("#picker", HTMLFormElement);
  const input = find("#picker-name", HTMLInputElement);
  const names = find("#picker-names", HTMLDataListElement);
  const result = find("#picker-status", HTMLElement);
  let timeout = 0;

  /** @param {string} text @param {number} limit @returns {Promise<string[]>} */
  async function search(text, limit) {
    const { data } = await get("tickers", { search: text, limit });
    return data.map((/** @type {{ticker: string}} */ entry) => entry.ticker);
  }

  async function suggest() {
    try {
      const found = (await search(input.value.trim(), 30)).filter((name) => !shown().includes(name));
      names.replaceChildren(...found.map((name) => Object.assign(document.createElement("option"), { value: name })));
    } catch {
      names.replaceChildren();
    }
  }

  /** Add the ticker if possible; returns what to tell the user. @param {string} name @returns {Promise<string>} */
  async function submit(name) {
    const found = await search(name, 10_000);
    const ticker = found.find((one) => one.toLowerCase() === name.toLowerCase());
    if (!ticker) {
      const similar = found.slice(0, 3).join(", ");
      return messages.text("picker.unknown", { name, hint: similar ? messages.text("picker.hint", { names: similar }) : "" });
    }
    if (shown().includes(ticker)) return messages.text("picker.present", { name: ticker });
    if (shown().length >= MAX_TICKERS) return messages.text("picker.full", { limit: MAX_TICKERS });
    add(ticker);
    form.reset();
    return messages.text("picker.added", { name: ticker });
  }

  input.addEventListener("focus", suggest);
  input.addEventListener("input", () => {
    clearTimeout(timeout);
    timeout = setTimeout(suggest, DEBOUNCE_MS);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      result.textContent = await submit(input.value.trim());
    } catch (error) {
      result.textContent = error instanceof Error ? error.message : String(error);
    }
  });
}
