// The page of the state of a node: its health, its streams, its record; asked for every few seconds, the lamp live.

import { ask } from "./api.js";
import { coverageText } from "./coverage.js";
import { fillTable, find } from "./dom.js";
import { DeliveryCharts } from "./delivery-charts.js";
import { startLogin } from "./login-dialog.js";
import { showConnectionState } from "./connection-state.js";
import { CryptoMarketStream } from "./stream.js";
import { startTheme } from "./theme.js";
import { loadMessages } from "./i18n.js";

const ASK_MS = 2000;
const COVERAGE_MS = 60_000;
const DAY = 86_400;
/** Counters that are UNIX seconds: of a day, or of a moment. */
const DAYS = ["day"];
const MOMENTS = ["finished"];

const messages = await loadMessages();
startTheme(messages);
const number = new Intl.NumberFormat(messages.language, { maximumFractionDigits: 1 });
const days = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeZone: "UTC" });
const moments = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
const refusal = find("#refusal", HTMLElement);
const sheets = find("#sheets", HTMLElement);
/** @type {string[]} */
const tickers = JSON.parse(sheets.dataset.tickers ?? "[]");
const stream = new CryptoMarketStream({ tickers, timer: 1 });
const announce = (/** @type {string} */ text) => (find("#announcer", HTMLElement).textContent = text);
showConnectionState(stream, messages, announce);
startLogin(stream, messages, announce);
const course = await DeliveryCharts.open(messages);

/** @type {Map<string, number>} */
const heard = new Map();
/** @type {Map<string, string>} */
const covered = new Map();

stream.addEventListener("connection", (event) => {
  const { ages } = /** @type {CustomEvent} */ (event).detail;
  for (const [ticker, age] of Object.entries(ages ?? {})) heard.set(ticker, performance.now() - Number(age));
});

function showTickers() {
  const rows = tickers.map((ticker) => {
    const at = heard.get(ticker);
    return [ticker, at === undefined ? messages.text("age.waiting") : messages.age(performance.now() - at), covered.get(ticker) ?? ""];
  });
  fillTable(find("#tickers", HTMLElement), rows);
}

async function askCoverage() {
  for (const ticker of tickers) {
    try {
      covered.set(ticker, coverageText(messages, await ask("coverage", { ticker, start: Math.floor(Date.now() / 1000) - DAY })));
    } catch (error) {
      covered.set(ticker, error instanceof Error ? error.message : "");
    }
  }
  showTickers();
}

/** A name of a counter in messages; one that nobody translated yet is shown as it is. @param {string} name */
function label(name) {
  const text = messages.text(`count.${name}`);
  return text === `count.${name}` ? name.replaceAll("_", " ") : text;
}

/** A counter by its name. @param {unknown} value @param {string} [name] @returns {string} */
function shown(value, name = "") {
  if (typeof value === "number" && DAYS.includes(name)) return days.format(value * 1000);
  if (typeof value === "number" && MOMENTS.includes(name)) return moments.format(value * 1000);
  if (typeof value === "number") return number.format(value);
  if (typeof value === "boolean") return messages.text(value ? "status.yes" : "status.no");
  if (value === null || value === undefined || value === "") return "—";
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map((one) => shown(one)).join(", ") || "—";
  const told = Object.entries(value).map(([key, one]) => [label(key), shown(one, key)]);
  return told.filter(([, text]) => text !== "—").map((pair) => pair.join(" ")).join(", ") || "—";
}

/** @param {Record<string, number>} counts by reason */
function sum(counts) {
  return Object.values(counts ?? {}).reduce((all, one) => all + one, 0);
}

/** @param {Record<string, any>} streams */
function showStreams(streams) {
  const names = ["streams", "cohorts", "tickers_wanted", "delivered", "conflated", "blocked_now", "joined", "left", "shed"];
  const items = names.flatMap((name) => {
    const term = document.createElement("dt");
    const value = document.createElement("dd");
    term.textContent = label(name);
    value.textContent = name === "shed" ? number.format(sum(streams.shed)) : shown(streams[name]);
    const pair = document.createElement("div");
    pair.append(term, value);
    return [pair];
  });
  find("#counts", HTMLElement).replaceChildren(...items);
  const timers = Object.entries(streams.by_timer ?? {}).sort(([one], [other]) => Number(one) - Number(other));
  const rows = timers.map(([timer, count]) => {
    const name = Number(timer) === 0 ? messages.text("timer.0") : messages.text("status.seconds", { n: number.format(Number(timer)) });
    return [name, shown(count)];
  });
  fillTable(find("#timers tbody", HTMLElement), rows);
}

/** The other parts, each as it counts. @param {Record<string, any>} parts */
function showParts(parts) {
  for (const [name, counters] of Object.entries(parts)) {
    if (name === "streams" || typeof counters !== "object") continue;
    let section = document.getElementById(`part-${name}`);
    if (!section) {
      const made = /** @type {DocumentFragment} */ (find("#part", HTMLTemplateElement).content.cloneNode(true));
      section = find("section", HTMLElement, made);
      section.id = `part-${name}`;
      const title = find("h2", HTMLElement, section);
      title.id = `part-${name}-title`;
      title.textContent = label(name);
      section.setAttribute("aria-labelledby", title.id);
      sheets.append(made);
    }
    fillTable(find("tbody", HTMLElement, section), Object.entries(counters).map(([key, value]) => [label(key), shown(value, key)]));
  }
}

async function askStatus() {
  try {
    const found = await ask("status", {});
    refusal.hidden = true;
    find("#health-text", HTMLElement).textContent = messages.text(`health.${found.status}`);
    const checks = Object.entries(found.checks).map(([name, check]) => [
      `${check.ok ? "✓" : check.needed ? "✗" : "!"} ${label(name)}`,
      check.detail,
    ]);
    fillTable(find("#checks", HTMLElement), checks);
    for (const [ticker, age] of Object.entries(found.upstream.ages)) heard.set(ticker, performance.now() - Number(age));
    const { streams } = found.statistics;
    if (streams) {
      showStreams(streams);
      course.add(found.time / 1000, streams, found.age_bounds);
    }
    showParts(found.statistics);
  } catch {
    refusal.textContent = messages.text("state.lost");
    refusal.hidden = false;
  }
  showTickers();
}

stream.open();
setInterval(askStatus, ASK_MS);
setInterval(askCoverage, COVERAGE_MS);
await askStatus();
await askCoverage();
