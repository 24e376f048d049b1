// The status page: health, streams and statistics of a node, polled every two seconds; the connection state is live.

import { get } from "./api.js";
import { showConnectionState } from "./connection-state.js";
import { coverageText } from "./coverage.js";
import { DeliveryCharts } from "./delivery-charts.js";
import { fillTable, find } from "./dom.js";
import { loadMessages } from "./i18n.js";
import { startLogin } from "./login-dialog.js";
import { CryptoMarketStream } from "./stream.js";
import { startTheme } from "./theme.js";

const STATUS_MS = 2000;
const COVERAGE_MS = 60_000;
const DAY = 86_400;
/** Statistics in UNIX seconds: the start of a day, and a moment. */
const DAY_FIELDS = ["day"];
const MOMENT_FIELDS = ["finished"];
const STREAM_FIELDS = ["streams", "cohorts", "tickers_wanted", "delivered", "conflated", "blocked_now", "joined", "left", "shed"];

const messages = await loadMessages();
startTheme(messages);
const number = new Intl.NumberFormat(messages.language, { maximumFractionDigits: 1 });
const dayFormat = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeZone: "UTC" });
const momentFormat = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
const problem = find("#problem", HTMLElement);
const sheets = find("#sheets", HTMLElement);
/** @type {string[]} */
const tickers = JSON.parse(sheets.dataset.tickers ?? "[]");
const stream = new CryptoMarketStream({ tickers, timer: 1 });
const announce = (/** @type {string} */ text) => (find("#announcer", HTMLElement).textContent = text);
showConnectionState(stream, messages, announce);
startLogin(stream, messages, announce);
const charts = await DeliveryCharts.open(messages);

/** When the gateway received the last tick of a ticker. @type {Map<string, number>} */
const lastTickAt = new Map();
/** @type {Map<string, string>} */
const coverageOf = new Map();

/** @param {Record<string, number>} ages milliseconds by ticker */
function setAges(ages) {
  for (const [ticker, age] of Object.entries(ages)) lastTickAt.set(ticker, performance.now() - age);
}

stream.addEventListener("connection", (event) => setAges(/** @type {CustomEvent} */ (event).detail.ages ?? {}));

function showTickers() {
  const rows = tickers.map((ticker) => {
    const at = lastTickAt.get(ticker);
    const age = at === undefined ? messages.text("age.waiting") : messages.age(performance.now() - at);
    return [ticker, age, coverageOf.get(ticker) ?? ""];
  });
  fillTable(find("#tickers", HTMLElement), rows);
}

async function loadCoverage() {
  for (const ticker of tickers) {
    try {
      const coverage = await get("coverage", { ticker, start: Math.floor(Date.now() / 1000) - DAY });
      coverageOf.set(ticker, coverageText(messages, coverage));
    } catch (error) {
      coverageOf.set(ticker, error instanceof Error ? error.message : "");
    }
  }
  showTickers();
}

/** The label of a field of the statistics; the field's own name where no translation exists. @param {string} name */
function label(name) {
  return messages.textOr(`count.${name}`, name.replaceAll("_", " "));
}

/** A value of the statistics as text. @param {unknown} value @param {string} [name] of its field @returns {string} */
function format(value, name = "") {
  if (typeof value === "number" && DAY_FIELDS.includes(name)) return dayFormat.format(value * 1000);
  if (typeof value === "number" && MOMENT_FIELDS.includes(name)) return momentFormat.format(value * 1000);
  if (typeof value === "number") return number.format(value);
  if (typeof value === "boolean") return messages.text(value ? "status.yes" : "status.no");
  if (value === null || value === undefined || value === "") return "—";
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map((one) => format(one)).join(", ") || "—";
  const entries = Object.entries(value).map(([key, one]) => [label(key), format(one, key)]);
  return entries.filter(([, text]) => text !== "—").map((pair) => pair.join(" ")).join(", ") || "—";
}

/** @param {Record<string, any>} streams */
function showStreams(streams) {
  const sum = (/** @type {Record<string, number>} */ counts) => Object.values(counts).reduce((total, count) => total + count, 0);
  const items = STREAM_FIELDS.map((name) => {
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = label(name);
    value.textContent = format(name === "shed" ? sum(streams.shed ?? {}) : streams[name]);
    const pair = document.createElement("div");
    pair.append(term, value);
    return pair;
  });
  find("#counts", HTMLElement).replaceChildren(...items);
  const timers = Object.entries(streams.by_timer ?? {}).sort(([one], [other]) => Number(one) - Number(other));
  const rows = timers.map(([timer, count]) => {
    const seconds = Number(timer);
    const name = seconds === 0 ? messages.text("timer.0") : messages.text("status.seconds", { n: number.format(seconds) });
    return [name, format(count)];
  });
  fillTable(find("#timers tbody", HTMLElement), rows);
}

/** One section for each other component. @param {Record<string, any>} statistics by component */
function showComponents(statistics) {
  for (const [name, fields] of Object.entries(statistics)) {
    if (name === "streams" || typeof fields !== "object") continue;
    let section = document.getElementById(`component-${name}`);
    if (!section) {
      const fragment = /** @type {DocumentFragment} */ (find("#component", HTMLTemplateElement).content.cloneNode(true));
      section = find("section", HTMLElement, fragment);
      section.id = `component-${name}`;
      const title = find("h2", HTMLElement, section);
      title.id = `component-${name}-title`;
      title.textContent = label(name);
      section.setAttribute("aria-labelledby", title.id);
      sheets.append(fragment);
    }
    const rows = Object.entries(fields).map(([key, value]) => [label(key), format(value, key)]);
    fillTable(find("tbody", HTMLElement, section), rows);
  }
}

/** Say that the counters are for operators, instead of showing none. @param {boolean} hidden whether they are hidden */
function forOperators(hidden) {
  find("#operators", HTMLElement).hidden = !hidden;
  find("#streams", HTMLElement).hidden = hidden;
}

async function loadStatus() {
  try {
    const status = await get("status", {});
    problem.hidden = true;
    find("#health-text", HTMLElement).textContent = messages.text(`health.${status.status}`);
    const checks = Object.entries(status.checks ?? {}).map(([name, check]) => [
      `${check.ok ? "✓" : check.needed ? "✗" : "!"} ${label(name)}`,
      check.cause ?? check.detail,
    ]);
    fillTable(find("#checks", HTMLElement), checks);
    setAges(status.upstream.ages);
    const { statistics = {} } = status;
    const { streams } = statistics;
    forOperators(!streams);
    if (streams) {
      showStreams(streams);
      charts.add(status.time / 1000, streams, status.age_bounds);
    }
    showComponents(statistics);
  } catch {
    problem.textContent = messages.text("state.lost");
    problem.hidden = false;
  }
  showTickers();
}

stream.open();
setInterval(loadStatus, STATUS_MS);
setInterval(loadCoverage, COVERAGE_MS);
await loadStatus();
await loadCoverage();
