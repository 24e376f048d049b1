// The dashboard: a tile for each ticker and one large chart, updated by one stream. Stale prices are greyed and labelled.

import { ChartPanel } from "./chart-panel.js";
import { showConnectionState } from "./connection-state.js";
import { find } from "./dom.js";
import { loadMessages } from "./i18n.js";
import { startLogin } from "./login-dialog.js";
import { CryptoMarketStream } from "./stream.js";
import { startTheme } from "./theme.js";
import { startTickerPicker } from "./ticker-picker.js";
import { Tile } from "./tile.js";

const REFRESH_MS = 500;
/** The shortest time between two announcements of prices: more would drown a screen reader. */
const ANNOUNCE_MS = 60_000;
const HISTORY_MS = 300_000;
const TIMER_KEY = "cryptomarket.timer";
const TICKERS_KEY = "cryptomarket.tickers";
/** Tickers that can be added: a stream has at most 20, two of them configured by default. */
const MAX_ADDED = 18;

const messages = await loadMessages();
startTheme(messages);

const section = find("#tiles", HTMLElement);
const interval = Number(section.dataset.interval);
/** @type {Map<string, Tile>} */
const tiles = new Map();

/* The timer and the added tickers, from the address or from local storage. */

const parameters = new URLSearchParams(location.search);

/** Keep a choice in the address and in local storage. @param {string} key @param {string} name @param {string} value */
function store(key, name, value) {
  localStorage.setItem(key, value);
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

const radios = [...document.querySelectorAll("input[name=timer]")].map((input) => /** @type {HTMLInputElement} */ (input));
const timer = parameters.get("timer") ?? localStorage.getItem(TIMER_KEY);
const radio = radios.find((one) => one.value === timer) ?? radios.find((one) => one.value === "1");
if (radio) radio.checked = true;

/** @param {number} seconds */
function showTimerHint(seconds) {
  const key = seconds === 0 ? "timer.hint.tick" : "timer.hint.every";
  find("#timer-hint", HTMLElement).textContent = messages.text(key, { seconds });
}

/* Tiles: the page contains the configured ones; others are added. */

for (const article of section.querySelectorAll(".tile")) {
  const tile = new Tile(/** @type {HTMLElement} */ (article), messages, interval);
  tiles.set(tile.ticker, tile);
}
const configured = [...tiles.keys()];
const stream = new CryptoMarketStream({ tickers: configured, timer: Number(radio?.value ?? 1) });

/** @param {string} ticker */
function addTile(ticker) {
  const fragment = /** @type {DocumentFragment} */ (find("#tile", HTMLTemplateElement).content.cloneNode(true));
  const article = find(".tile", HTMLElement, fragment);
  article.dataset.ticker = ticker;
  article.setAttribute("aria-labelledby", `name-${ticker}`);
  const [base, quote] = ticker === ticker.toLowerCase() ? ticker.toUpperCase().split("_") : [ticker];
  find("h2", HTMLElement, article).id = `name-${ticker}`;
  find(".base", HTMLElement, article).textContent = base ?? ticker;
  find(".quote", HTMLElement, article).textContent = quote ?? "";
  find(".scroll", HTMLElement, article).setAttribute("aria-labelledby", `name-${ticker}`);
  const remove = find(".remove", HTMLButtonElement, article);
  remove.setAttribute("aria-label", `${messages.text("tile.remove")} ${ticker}`);
  remove.addEventListener("click", () => {
    const previous = article.previousElementSibling;
    article.remove();
    tiles.delete(ticker);
    updateTickers();
    if (previous instanceof HTMLElement) find("summary", HTMLElement, previous).focus();
    announce(messages.text("tile.removed", { ticker }));
  });
  section.append(fragment);
  const tile = new Tile(article, messages, interval);
  tiles.set(ticker, tile);
  tile.loadHistory();
}

function updateTickers() {
  store(TICKERS_KEY, "tickers", [...tiles.keys()].filter((ticker) => !configured.includes(ticker)).join(","));
  stream.follow({ tickers: tiles.keys() });
  panel?.setTickers(stream.tickers);
}

/* Announcements for screen readers, and what changes with time alone. */

let announcedAt = 0;

/** @param {string} text */
function announce(text) {
  announcedAt = performance.now();
  find("#announcer", HTMLElement).textContent = text;
}

const state = showConnectionState(stream, messages, (text) => {
  announce(text);
  refresh();
});

startLogin(stream, messages, announce);

function refresh() {
  const connected = !["lost", "down", "connecting"].includes(state());
  for (const tile of tiles.values()) tile.refresh(connected, state() === "stale");
  if (performance.now() - announcedAt > ANNOUNCE_MS && document.hasFocus()) {
    announce([...tiles.values()].map((tile) => tile.announcement()).join(", "));
  }
}

async function loadHistory() {
  await Promise.all([...tiles.values()].map((tile) => tile.loadHistory()));
}

stream.addEventListener("link", () => {
  if (stream.link !== "open") return;
  loadHistory();
  panel?.chart.reconcile();
});

stream.addEventListener("connection", (event) => {
  const { detail } = /** @type {CustomEvent} */ (event);
  if (detail.kind === "gap" && detail.ticker) tiles.get(detail.ticker)?.showGap(detail.reason);
  for (const [ticker, age] of Object.entries(detail.ages ?? {})) tiles.get(ticker)?.setTickAge(age);
});

stream.addEventListener("price", (event) => {
  const price = /** @type {CustomEvent} */ (event).detail;
  const tile = tiles.get(price.ticker);
  tile?.show(price);
  panel?.chart.addPrice(price);
  if (tile && price.ticker === stream.tickers[0]) document.title = `${tile.title()} · cryptomarket`;
});

find("#timer-form", HTMLFormElement).addEventListener("change", (event) => {
  const { value } = /** @type {HTMLInputElement} */ (event.target);
  store(TIMER_KEY, "timer", value);
  showTimerHint(Number(value));
  stream.follow({ timer: Number(value) });
});

/** @type {ChartPanel | null} */
let panel = null;

showTimerHint(stream.timer);
const added = (parameters.get("tickers") ?? localStorage.getItem(TICKERS_KEY) ?? "").split(",").slice(0, MAX_ADDED);
for (const ticker of added) if (/^[\w-]{2,64}$/.test(ticker) && !tiles.has(ticker)) addTile(ticker);
stream.follow({ tickers: tiles.keys() });
startTickerPicker(messages, () => stream.tickers, (ticker) => {
  addTile(ticker);
  updateTickers();
});
setInterval(refresh, REFRESH_MS);
setInterval(loadHistory, HISTORY_MS);
panel = await ChartPanel.open(messages, interval);
await Promise.all([panel?.setTickers(stream.tickers), loadHistory()]);
