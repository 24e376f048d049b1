// How the streams went while one looked: events a second, and how old they were when written. Plots with a twin in rows.

import { find } from "./dom.js";
import { themeColour } from "./chart-theme.js";
import { fillTable } from "./table.js";

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {{delivered: number, age_counts: number[]}} Counters */

/** Ten minutes at one question in two seconds. */
const MOST_POINTS = 300;

/**
 * The age that so much of the events between two moments did not reach, in milliseconds; null when there was none.
 * @param {number[]} before @param {number[]} after histograms @param {number[]} bounds seconds @param {number} share
 */
export function quantile(before, after, bounds, share) {
  const counts = after.map((count, i) => count - (before[i] ?? 0));
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (!all) return null;
  let passed = 0;
  for (let i = 0; i < counts.length; i++) {
    passed += counts[i] ?? 0;
    if (passed >= all * share) return (bounds[i] ?? bounds.at(-1) ?? 0) * 1000;
  }
  return null;
}

export class DeliveryCharts {
  /** @param {Messages} messages @param {typeof import("uplot") | null} library */
  constructor(messages, library) {
    this.messages = messages;
    this.library = library;
    this.number = new Intl.NumberFormat(messages.language, { maximumFractionDigits: 1 });
    this.clock = new Intl.DateTimeFormat(messages.dates, { timeStyle: "medium", hourCycle: "h23" });
    /** @type {number[]} */
    this.times = [];
    /** @type {(number | null)[]} */
    this.rates = [];
    /** @type {(number | null)[]} */
    this.ages = [];
    /** @type {{time: number, streams: Counters} | null} */
    this.before = null;
    this.table = find("#charts-table", HTMLDetailsElement);
    this.table.addEventListener("toggle", () => this.showRows());
    /** @type {any[]} */
    this.plots = [];
    this.draw();
    addEventListener("resize", () => this.resize());
    const repaint = () => this.draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** @param {Messages} messages */
  static async open(messages) {
    const address = new URL("./vendor/uplot.js", import.meta.url).href;
    try {
      return new DeliveryCharts(messages, (await import(address)).default);
    } catch {
      return new DeliveryCharts(messages, null); // built without npm: the rows tell the same
    }
  }

  /** @param {number} time UNIX seconds @param {Counters} streams @param {number[]} bounds */
  add(time, streams, bounds) {
    const before = this.before;
    this.before = { time, streams };
    if (!before || time <= before.time || streams.delivered < before.streams.delivered) return; // or it restarted
    this.times.push(time);
    this.rates.push((streams.delivered - before.streams.delivered) / (time - before.time));
    this.ages.push(quantile(before.streams.age_counts, streams.age_counts, bounds, 0.99));
    for (const column of [this.times, this.rates, this.ages]) if (column.length > MOST_POINTS) column.shift();
    this.plots.forEach((plot, i) => plot.setData([this.times, i ? this.ages : this.rates]));
    this.showRows();
  }

  draw() {
    for (const plot of this.plots) plot.destroy();
    const { library } = this;
    for (const name of ["rate", "age"]) find(`#${name}`, HTMLElement).hidden = !library;
    if (!library) return;
    this.plots = ["rate", "age"].map((name, i) => {
      const place = find(`#${name}`, HTMLElement);
      const [line, soft, brand] = ["border", "muted", "brand"].map((one) => themeColour(place, one));
      const axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 } };
      const values = (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => this.number.format(tick));
      const times = (/** @type {any} */ _, /** @type {number[]} */ ticks) => ticks.map((tick) => this.clock.format(tick * 1000));
      const options = {
        width: Math.max(place.clientWidth, 200),
        height: 180,
        legend: { show: false },
        cursor: { show: false },
        axes: [{ ...axis, values: times, space: 80 }, { ...axis, values, size: 60 }],
        scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ _low, /** @type {number} */ high) => [0, high * 1.15 || 1] } },
        series: [{}, { stroke: brand, width: 2, points: { show: false } }],
      };
      const Plot = /** @type {any} */ (library);
      return new Plot(options, [this.times, i ? this.ages : this.rates], place);
    });
  }

  resize() {
    for (const plot of this.plots) {
      plot.setSize({ width: Math.max(plot.root.parentElement.clientWidth, 200), height: 180 });
    }
  }

  showRows() {
    if (!this.table.open) return;
    const figure = (/** @type {number | null | undefined} */ value, unit = "") =>
      value === null || value === undefined ? "—" : this.number.format(value) + unit;
    const rows = this.times.map((time, i) => [
      this.clock.format(time * 1000), figure(this.rates[i]), figure(this.ages[i], " ms"),
    ]);
    fillTable(find("tbody", HTMLElement, this.table), rows.reverse());
  }
}
