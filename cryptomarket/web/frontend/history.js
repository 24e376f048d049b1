// The history page: prices stored between two days as a chart, a table, downloads and a curl command.

import { apiPath, get, getSlots, slotPath } from "./api.js";
import { loadChartLibrary } from "./chart-theme.js";
import { coverageText, drawCoverage } from "./coverage.js";
import { fillTable, find } from "./dom.js";
import { loadMessages } from "./i18n.js";
import { PriceChart } from "./price-chart.js";
import { startTheme } from "./theme.js";

/** @typedef {import("./series.js").Slot} Slot */
/** @typedef {{ticker: string, start: string, end: string, resolution: string}} Filter */

const FIELDS = ["ticker", "start", "end", "resolution"];
/** More rows would be slow to lay out; the downloads have all. */
const MAX_ROWS = 1000;
const DAY_MS = 86_400_000;

const messages = await loadMessages();
startTheme(messages);

const form = find("#filter", HTMLFormElement);
const problem = find("#problem", HTMLElement);
const timeFormat = new Intl.DateTimeFormat(messages.dates, {
  dateStyle: "medium", timeStyle: "medium", hourCycle: "h23", timeZone: "UTC",
});
const time = (/** @type {number} */ seconds) => timeFormat.format(seconds * 1000);
const library = await loadChartLibrary();
const canvas = find("#canvas", HTMLElement);
canvas.hidden = !library;
const chart = library && new PriceChart(canvas, messages, Number(form.dataset.interval), library);

/** @param {string} name */
function field(name) {
  return /** @type {HTMLInputElement | HTMLSelectElement} */ (form.elements.namedItem(name));
}

/** Fill the form from the address; without a start it is yesterday (UTC). */
function readAddress() {
  const parameters = new URLSearchParams(location.search);
  field("start").value = new Date(Date.now() - DAY_MS).toISOString().slice(0, 10);
  for (const name of FIELDS) field(name).value = parameters.get(name) ?? field(name).value;
}

/** @param {Filter} filter */
function writeAddress(filter) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(filter)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
}

/** @returns {Filter} */
function readForm() {
  const [ticker = "", start = "", end = "", resolution = ""] = FIELDS.map((name) => field(name).value.trim());
  return { ticker, start, end, resolution };
}

/** @param {Slot[]} slots @param {boolean} complete @param {boolean} more whether there are further pages @param {Filter} filter */
function showRows(slots, complete, more, { ticker, resolution }) {
  const columns = resolution ? ["time", "open", "high", "low", "close", "count"] : ["time", "price"];
  const row = document.createElement("tr");
  for (const name of columns) {
    const head = document.createElement("th");
    head.scope = "col";
    head.textContent = messages.text(`table.${name}`) + (name === "time" ? " (UTC)" : "");
    row.append(head);
  }
  find("#head", HTMLElement).replaceChildren(row);
  const newest = [...slots].reverse().slice(0, MAX_ROWS);
  fillTable(
    find("#rows", HTMLElement),
    newest.map((slot) => {
      if (!slot.candle) return [time(slot.time), messages.wholePrice(slot.text)];
      const { open, high, low, count, partial } = slot.candle;
      const figures = [open, high, low, slot.text].map((price) => messages.wholePrice(price));
      return [time(slot.time), ...figures, `${count}${partial ? " *" : ""}`];
    }),
  );
  const notes = [];
  if (slots.length > MAX_ROWS || more) notes.push(messages.text("history.limited", { n: Math.min(slots.length, MAX_ROWS) }));
  if (slots.some((slot) => slot.candle?.partial)) notes.push(messages.text("history.partial"));
  find("#notes", HTMLElement).textContent = notes.join(" ");
  const key = !slots.length ? "history.nothing" : complete ? "history.complete" : "history.incomplete";
  const summary = messages.text(key, { n: slots.length, ticker });
  find("#summary", HTMLElement).textContent = summary;
  canvas.setAttribute("aria-label", summary);
}

/** @param {Filter} filter */
async function showCoverage({ ticker, start, end }) {
  const coverage = await get("coverage", { ticker, start, end });
  drawCoverage(find("#strip", SVGElement), coverage);
  find("#coverage-text", HTMLElement).textContent = coverageText(messages, coverage);
  fillTable(
    find("#gaps tbody", HTMLElement),
    coverage.intervals.map((/** @type {import("./coverage.js").Interval} */ interval) => {
      const kind = messages.text(`coverage.${interval.kind}`);
      const detail = interval.reason ? messages.text(`reason.${interval.reason}`) : interval.source;
      return [time(interval.start), time(interval.end), detail ? `${kind}: ${detail}` : kind];
    }),
  );
}

/** @param {Filter} filter */
function showLinks({ ticker, start, end, resolution }) {
  const query = { ticker, start, end };
  for (const kind of ["csv", "ndjson", "parquet"]) {
    find(`#${kind}`, HTMLAnchorElement).href = apiPath(`export.${kind}`, query);
  }
  const path = apiPath(slotPath({ resolution }), { ...query, resolution });
  find("#curl", HTMLElement).textContent = `curl '${location.origin}${path}'`;
}

/** @param {Filter} filter */
async function showPrices(filter) {
  const { ticker, start, end, resolution } = filter;
  if (chart) {
    chart.setResolution(resolution);
    const complete = await chart.showRange(ticker, start, end);
    showRows(chart.slots, complete, false, filter);
  } else {
    const page = await getSlots({ ...filter, order: "desc", limit: MAX_ROWS });
    showRows(page.slots.reverse(), page.complete, page.next !== null, filter);
  }
}

async function show() {
  const filter = readForm();
  writeAddress(filter);
  problem.hidden = true;
  find("#results", HTMLElement).setAttribute("aria-busy", "true");
  try {
    showLinks(filter);
    await Promise.all([showPrices(filter), showCoverage(filter)]);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return; // a newer filter was submitted
    problem.textContent = error instanceof Error ? error.message : String(error);
    problem.hidden = false;
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

readAddress();
if (field("ticker").value) await show(); // none may be configured
const { data } = await get("tickers", { limit: 500 });
const options = data.map((/** @type {{ticker: string}} */ entry) => Object.assign(document.createElement("option"), { value: entry.ticker }));
find("#names", HTMLDataListElement).replaceChildren(...options);
