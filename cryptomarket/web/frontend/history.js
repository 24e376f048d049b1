// The page of the past: what was stored between two days, as a chart, a table, files, and a line for the terminal.

import { address, ask, candles, prices } from "./api.js";
import { drawStrip, coverageText } from "./coverage.js";
import { fillTable, find } from "./dom.js";
import { loadChartLibrary } from "./chart-theme.js";
import { PriceChart } from "./price-chart.js";
import { startTheme } from "./theme.js";
import { loadMessages } from "./i18n.js";

/** @typedef {import("./series.js").Slot} Slot */
/** @typedef {{ticker: string, start: string, end: string, resolution: string}} Asked */

/** More rows than anybody reads; the files have them all. */
const MOST_ROWS = 1000;
const DAY_MS = 86_400_000;

const messages = await loadMessages();
startTheme(messages);

const form = find("#filter", HTMLFormElement);
const refusal = find("#refusal", HTMLElement);
const moments = new Intl.DateTimeFormat(messages.dates, {
  dateStyle: "medium", timeStyle: "medium", hourCycle: "h23", timeZone: "UTC",
});
const moment = (/** @type {number} */ seconds) => moments.format(seconds * 1000);
const library = await loadChartLibrary();
const canvas = find("#canvas", HTMLElement);
canvas.hidden = !library;
const chart = library && new PriceChart(canvas, messages, Number(form.dataset.interval), library);

/** @param {string} name */
function field(name) {
  return /** @type {HTMLInputElement | HTMLSelectElement} */ (form.elements.namedItem(name));
}

/** A day of UTC, so many before today, as a date input wants it. @param {number} before */
function day(before) {
  return new Date(Date.now() - before * DAY_MS).toISOString().slice(0, 10);
}

function fromAddress() {
  const asked = new URLSearchParams(location.search);
  field("start").value = day(1);
  for (const name of ["ticker", "start", "end", "resolution"]) {
    const value = asked.get(name);
    if (value !== null) field(name).value = value;
  }
}

/** @returns {Asked} */
function wanted() {
  const [ticker, start, end, resolution] = ["ticker", "start", "end", "resolution"].map((name) => field(name).value.trim());
  return { ticker: ticker ?? "", start: start ?? "", end: end ?? "", resolution: resolution ?? "" };
}

/** @param {Slot[]} slots @param {boolean} complete @param {boolean} more @param {Asked} asked */
function showRows(slots, complete, more, { ticker, resolution }) {
  const columns = resolution ? ["time", "open", "high", "low", "close", "count"] : ["time", "price"];
  const heads = columns.map((name) => {
    const head = document.createElement("th");
    head.scope = "col";
    head.textContent = messages.text(`table.${name}`) + (name === "time" ? " (UTC)" : "");
    return head;
  });
  const row = document.createElement("tr");
  row.append(...heads);
  find("#head", HTMLElement).replaceChildren(row);
  const newest = [...slots].reverse().slice(0, MOST_ROWS);
  fillTable(
    find("#rows", HTMLElement),
    newest.map(({ time, text, candle }) => {
      if (!candle) return [moment(time), messages.wholePrice(text)];
      const figures = [candle.open, candle.high, candle.low, text].map((price) => messages.wholePrice(price));
      return [moment(time), ...figures, `${candle.count}${candle.partial ? " *" : ""}`];
    }),
  );
  const notes = [];
  if (slots.length > MOST_ROWS || more) notes.push(messages.text("history.rest", { n: Math.min(slots.length, MOST_ROWS) }));
  if (slots.some((slot) => slot.candle?.partial)) notes.push(messages.text("history.partial"));
  find("#rest", HTMLElement).textContent = notes.join(" ");
  const name = complete ? "history.complete" : "history.incomplete";
  const said = slots.length ? messages.text(name, { n: slots.length, ticker }) : messages.text("history.nothing", { ticker });
  find("#summary", HTMLElement).textContent = said;
  canvas.setAttribute("aria-label", said);
}

/** @param {Asked} asked */
async function showCoverage({ ticker, start, end }) {
  const found = await ask("coverage", { ticker, start, end });
  drawStrip(find("#strip", SVGElement), found);
  find("#coverage-text", HTMLElement).textContent = coverageText(messages, found);
  fillTable(
    find("#gaps tbody", HTMLElement),
    found.intervals.map((/** @type {import("./coverage.js").Interval} */ interval) => {
      const kind = messages.text(`coverage.${interval.kind}`);
      const why = interval.reason ? messages.text(`reason.${interval.reason}`) : (interval.source ?? "");
      return [moment(interval.start), moment(interval.end), why ? `${kind}: ${why}` : kind];
    }),
  );
}

/** @param {Asked} asked */
function showLinks({ ticker, start, end, resolution }) {
  const query = { ticker, start, end };
  for (const kind of ["csv", "ndjson", "parquet"]) {
    find(`#${kind}`, HTMLAnchorElement).href = address(`export.${kind}`, query);
  }
  const path = resolution ? address("candles", { ...query, resolution }) : address("prices", query);
  find("#curl", HTMLElement).textContent = `curl '${location.origin}${path}'`;
}

/** Without the library: the newest page for the table alone. @param {Asked} asked */
async function newestPage({ ticker, start, end, resolution }) {
  const query = { ticker, start, end, order: "desc", limit: MOST_ROWS };
  const page = await (resolution ? candles({ ...query, resolution }) : prices(query));
  return { ...page, slots: page.slots.reverse(), more: page.next !== null };
}

/** @param {Asked} asked */
async function showPrices(asked) {
  if (chart) {
    chart.setResolution(asked.resolution);
    const complete = await chart.showRange(asked.ticker, asked.start, asked.end);
    showRows(chart.slots, complete, false, asked);
  } else {
    const page = await newestPage(asked);
    showRows(page.slots, page.complete, page.more, asked);
  }
}

async function show() {
  const asked = wanted();
  const here = new URL(location.href);
  for (const [name, value] of Object.entries(asked)) {
    if (value) here.searchParams.set(name, value);
    else here.searchParams.delete(name);
  }
  history.replaceState(null, "", here);
  refusal.hidden = true;
  find("#results", HTMLElement).setAttribute("aria-busy", "true");
  try {
    showLinks(asked);
    await Promise.all([showPrices(asked), showCoverage(asked)]);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return; // another question was asked meanwhile
    refusal.textContent = error instanceof Error ? error.message : String(error);
    refusal.hidden = false;
  }
  find("#results", HTMLElement).removeAttribute("aria-busy");
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  show();
});
find("#copy", HTMLButtonElement).addEventListener("click", async (event) => {
  await navigator.clipboard.writeText(find("#curl", HTMLElement).textContent ?? "");
  /** @type {HTMLElement} */ (event.target).textContent = messages.text("history.copied");
});

fromAddress();
await show();
const { data } = await ask("tickers", { limit: 500 });
const options = data.map((/** @type {{ticker: string}} */ entry) => Object.assign(document.createElement("option"), { value: entry.ticker }));
find("#names", HTMLDataListElement).replaceChildren(...options);
