// The board: a tile per ticker, fed by one stream; each tile tells its age and greys when it should not be believed.

import { Feed } from "./feed.js";
import { startTheme } from "./theme.js";
import { Tile } from "./tile.js";
import { readWords } from "./words.js";

const REFRESH_MS = 500;
/** Spoken at most this often: a price a second would drown a screen reader. */
const ANNOUNCE_MS = 60_000;
const HISTORY_MS = 300_000;
const TIMER_KEY = "cryptomarket.timer";

/** @template {Element} T @param {string} selector @param {new () => T} kind @returns {T} */
function find(selector, kind) {
  const found = document.querySelector(selector);
  if (!(found instanceof kind)) throw new Error(`the page has no ${selector}`);
  return found;
}

const words = await readWords();
startTheme(words);

const section = find("#tiles", HTMLElement);
/** @type {string[]} */
const tickers = JSON.parse(section.dataset.tickers ?? "[]");
const interval = Number(section.dataset.interval);
const tiles = new Map(
  [...document.querySelectorAll(".tile")].map((article) => {
    const tile = new Tile(/** @type {HTMLElement} */ (article), words, interval);
    return [tile.ticker, tile];
  }),
);

/* The timer: from the address, else as last chosen, else a second. */

const radios = [...document.querySelectorAll("input[name=timer]")].map((input) => /** @type {HTMLInputElement} */ (input));

function rememberedTimer() {
  const asked = new URLSearchParams(location.search).get("timer") ?? localStorage.getItem(TIMER_KEY);
  return radios.find((radio) => radio.value === asked) ?? radios.find((radio) => radio.value === "1") ?? radios[0];
}

/** @param {number} timer */
function showCadence(timer) {
  const name = timer === 0 ? "cadence.tick" : "cadence.every";
  find("#cadence", HTMLElement).textContent = words.say(name, { seconds: timer });
}

const chosen = rememberedTimer();
if (chosen) chosen.checked = true;
const feed = new Feed(tickers, Number(chosen?.value ?? 1));
showCadence(feed.timer);

find("#timer-form", HTMLFormElement).addEventListener("change", (event) => {
  const value = /** @type {HTMLInputElement} */ (event.target).value;
  localStorage.setItem(TIMER_KEY, value);
  const address = new URL(location.href);
  address.searchParams.set("timer", value);
  history.replaceState(null, "", address);
  showCadence(Number(value));
  feed.every(Number(value));
});

/* The state: of our own stream first, then of the gateway's way to the exchange. */

let upstream = "opening";
let announced = 0;

/** @param {string} text */
function announce(text) {
  announced = performance.now();
  find("#announcer", HTMLElement).textContent = text;
}

function showState() {
  const state = feed.link === "lost" ? "lost" : upstream;
  const shown = find("#state", HTMLElement);
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  const text = words.say(`state.${state}`);
  find("#state-words", HTMLElement).textContent = text;
  announce(text);
  refresh();
}

feed.addEventListener("link", showState);

feed.addEventListener("connection", (event) => {
  const said = /** @type {CustomEvent} */ (event).detail;
  if (said.kind === "upstream") upstream = said.state;
  if (said.ages) for (const [ticker, age] of Object.entries(said.ages)) tiles.get(ticker)?.heardOf(age);
  if (said.kind === "upstream" || said.kind === "heartbeat") showState();
});

feed.addEventListener("price", (event) => {
  const price = /** @type {CustomEvent} */ (event).detail;
  tiles.get(price.ticker)?.show(price);
  if (price.ticker === tickers[0]) document.title = `${tiles.get(price.ticker)?.headline()} · cryptomarket`;
});

/* What time alone changes. */

function refresh() {
  const believed = feed.link !== "lost" && upstream !== "down" && upstream !== "connecting";
  for (const tile of tiles.values()) tile.refresh(believed, upstream === "stale");
  if (performance.now() - announced > ANNOUNCE_MS && document.hasFocus()) {
    announce([...tiles.values()].map((tile) => tile.spoken()).join(", "));
  }
}

async function loadHistory() {
  await Promise.all([...tiles.values()].map((tile) => tile.loadHistory()));
}

feed.open();
setInterval(refresh, REFRESH_MS);
setInterval(loadHistory, HISTORY_MS);
feed.addEventListener("link", () => feed.link === "open" && loadHistory());
await loadHistory();
