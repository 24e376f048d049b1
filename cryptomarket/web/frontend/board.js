// The board: a tile per ticker and one large chart, fed by one stream; what should not be fresh greys and says so.

import { find } from "./dom.js";
import { ChartPanel } from "./chart-panel.js";
import { startLogin } from "./login-dialog.js";
import { startTickerPicker } from "./ticker-picker.js";
import { showConnectionState } from "./connection-state.js";
import { CryptoMarketStream } from "./stream.js";
import { startTheme } from "./theme.js";
import { Tile } from "./tile.js";
import { loadMessages } from "./i18n.js";

const REFRESH_MS = 500;
/** Spoken at most this often: a price a second would drown a screen reader. */
const ANNOUNCE_MS = 60_000;
const HISTORY_MS = 300_000;
const TIMER_KEY = "cryptomarket.timer";
const TICKERS_KEY = "cryptomarket.tickers";

const messages = await loadMessages();
startTheme(messages);

const section = find("#tiles", HTMLElement);
const interval = Number(section.dataset.interval);
/** @type {Map<string, Tile>} */
const tiles = new Map();

/* What the address or a former visit says: the timer and further tickers. */

const asked = new URLSearchParams(location.search);

/** @param {string} name @param {string} value */
function rememberInAddress(name, value) {
  const address = new URL(location.href);
  if (value) address.searchParams.set(name, value);
  else address.searchParams.delete(name);
  history.replaceState(null, "", address);
}

const timers = [...document.querySelectorAll("input[name=timer]")].map((input) => /** @type {HTMLInputElement} */ (input));
const timer = asked.get("timer") ?? localStorage.getItem(TIMER_KEY);
const radio = timers.find((one) => one.value === timer) ?? timers.find((one) => one.value === "1");
if (radio) radio.checked = true;

/** @param {number} seconds */
function showTimerHint(seconds) {
  const name = seconds === 0 ? "timer.hint.tick" : "timer.hint.every";
  find("#timer-hint", HTMLElement).textContent = messages.text(name, { seconds });
}

/* Tiles: the configured ones are in the page, others are added. */

for (const article of section.querySelectorAll(".tile")) {
  const tile = new Tile(/** @type {HTMLElement} */ (article), messages, interval);
  tiles.set(tile.ticker, tile);
}
const configured = [...tiles.keys()];
const feed = new CryptoMarketStream({ tickers: configured, timer: Number(radio?.value ?? 1) });

/** @param {string} ticker */
function addTile(ticker) {
  const made = find("#tile", HTMLTemplateElement).content.cloneNode(true);
  const article = find(".tile", HTMLElement, /** @type {DocumentFragment} */ (made));
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
    const next = article.previousElementSibling;
    article.remove();
    tiles.delete(ticker);
    followTickers();
    if (next instanceof HTMLElement) find("summary", HTMLElement, next).focus();
    announce(messages.text("tile.removed", { ticker }));
  });
  section.append(made);
  const tile = new Tile(article, messages, interval);
  tiles.set(ticker, tile);
  tile.loadHistory();
}

function followTickers() {
  const further = [...tiles.keys()].filter((ticker) => !configured.includes(ticker)).join(",");
  localStorage.setItem(TICKERS_KEY, further);
  rememberInAddress("tickers", further);
  feed.follow({ tickers: tiles.keys() });
  panel?.setTickers(feed.tickers);
}

/* What ears hear, and what time alone changes. */

let announced = 0;

/** @param {string} text */
function announce(text) {
  announced = performance.now();
  find("#announcer", HTMLElement).textContent = text;
}

const state = showConnectionState(feed, messages, (text) => {
  announce(text);
  refresh();
});

startLogin(feed, messages, announce);

function refresh() {
  const fresh = !["lost", "down", "connecting"].includes(state());
  for (const tile of tiles.values()) tile.refresh(fresh, state() === "stale");
  if (performance.now() - announced > ANNOUNCE_MS && document.hasFocus()) {
    announce([...tiles.values()].map((tile) => tile.spoken()).join(", "));
  }
}

async function loadHistory() {
  await Promise.all([...tiles.values()].map((tile) => tile.loadHistory()));
}

feed.addEventListener("link", () => {
  if (feed.link !== "open") return;
  loadHistory();
  panel?.chart.reconcile();
});

feed.addEventListener("connection", (event) => {
  const said = /** @type {CustomEvent} */ (event).detail;
  if (said.kind === "gap" && said.ticker) tiles.get(said.ticker)?.refused();
  if (said.ages) for (const [ticker, age] of Object.entries(said.ages)) tiles.get(ticker)?.heardOf(age);
});

feed.addEventListener("price", (event) => {
  const price = /** @type {CustomEvent} */ (event).detail;
  const tile = tiles.get(price.ticker);
  tile?.show(price);
  panel?.chart.addPrice(price);
  if (tile && price.ticker === configured[0]) document.title = `${tile.headline()} · cryptomarket`;
});

find("#timer-form", HTMLFormElement).addEventListener("change", (event) => {
  const { value } = /** @type {HTMLInputElement} */ (event.target);
  localStorage.setItem(TIMER_KEY, value);
  rememberInAddress("timer", value);
  showTimerHint(Number(value));
  feed.follow({ timer: Number(value) });
});

/** @type {ChartPanel | null} */
let panel = null;

showTimerHint(feed.timer);
for (const ticker of (asked.get("tickers") ?? localStorage.getItem(TICKERS_KEY) ?? "").split(",").slice(0, 18)) {
  if (/^[\w-]{2,64}$/.test(ticker) && !tiles.has(ticker)) addTile(ticker);
}
feed.follow({ tickers: tiles.keys() });
startTickerPicker(messages, () => feed.tickers, (ticker) => {
  addTile(ticker);
  followTickers();
});
setInterval(refresh, REFRESH_MS);
setInterval(loadHistory, HISTORY_MS);
panel = await ChartPanel.open(messages, interval);
await Promise.all([panel?.setTickers(feed.tickers), loadHistory()]);
