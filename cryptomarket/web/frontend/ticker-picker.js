// Adding tickers of the catalogue to the board: names are looked up as one types, an unknown one is answered.

import { ask } from "./api.js";
import { find } from "./dom.js";

/** @typedef {import("./i18n.js").Messages} Messages */

/** As many as one stream may name. */
const MOST_TICKERS = 20;
const PAUSE_MS = 150;

/**
 * @param {Messages} messages @param {() => string[]} shown the tickers on the board
 * @param {(ticker: string) => void} add
 */
export function startTickerPicker(messages, shown, add) {
  const form = find("#picker", HTMLFormElement);
  const input = find("#picker-name", HTMLInputElement);
  const names = find("#picker-names", HTMLDataListElement);
  const answer = find("#picker-answer", HTMLElement);
  let waiting = 0;

  /** @param {string} search @param {number} limit @returns {Promise<string[]>} */
  async function known(search, limit) {
    const { data } = await ask("tickers", { search, limit });
    return data.map((/** @type {{ticker: string}} */ entry) => entry.ticker);
  }

  async function suggest() {
    try {
      const found = (await known(input.value.trim(), 30)).filter((name) => !shown().includes(name));
      names.replaceChildren(...found.map((name) => Object.assign(document.createElement("option"), { value: name })));
    } catch {
      names.replaceChildren();
    }
  }

  /** @param {string} name @returns {Promise<string>} what to answer */
  async function take(name) {
    const found = await known(name, 10_000);
    const ticker = found.find((one) => one.toLowerCase() === name.toLowerCase());
    if (!ticker) {
      const near = found.slice(0, 3).join(", ");
      return messages.text("picker.unknown", { name, hint: near ? messages.text("picker.hint", { names: near }) : "" });
    }
    if (shown().includes(ticker)) return messages.text("picker.there", { name: ticker });
    if (shown().length >= MOST_TICKERS) return messages.text("picker.full", { most: MOST_TICKERS });
    add(ticker);
    form.reset();
    return messages.text("picker.added", { name: ticker });
  }

  input.addEventListener("focus", suggest);
  input.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(suggest, PAUSE_MS);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      answer.textContent = await take(input.value.trim());
    } catch (error) {
      answer.textContent = error instanceof Error ? error.message : String(error);
    }
  });
}
