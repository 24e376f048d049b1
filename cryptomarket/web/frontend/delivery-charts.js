// Two charts of the status page, events delivered per second and their age, with a table of the same values.

import { CREATION_OPTIONS, loadChartLibrary, onThemeChange, plotOptions, themeColour } from "./chart-theme.js";
import { fillTable, find } from "./dom.js";

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./chart-theme.js").ChartLibrary} ChartLibrary */
/** @typedef {{delivered: number, age_counts: number[]}} Counters */
/** @typedef {{time: number, rate: number, age: number | null}} Sample age in milliseconds; null when nothing was delivered */

/** Ten minutes at one sample in two seconds. */
const MAX_SAMPLES = 300;
/** A longer pause between two samples is drawn as a gap. */
const GAP_SECONDS = 6;

/**
 * The upper bound of the given share of events between two readings of a histogram, in milliseconds; null without events.
 * @param {number[]} before @param {number[]} after @param {number[]} bounds of the buckets, in seconds @param {number} share
 */
export function quantile(before, after, bounds, share) {
  const counts = after.map((count, i) => count - (before[i] ?? 0));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (!total) return null;
  let cumulated = 0;
  const bucket = counts.findIndex((count) => (cumulated += count) >= total * share);
  return (bounds[bucket] ?? bounds.at(-1) ?? 0) * 1000;
}

export class DeliveryCharts {
  /** @param {Messages} messages @param {ChartLibrary | null} library without it only the table is shown */
  constructor(messages, library) {
    this.number = new Intl.NumberFormat(messages.language, { maximumFractionDigits: 1 });
    this.clock = new Intl.DateTimeFormat(messages.dates, { timeStyle: "medium", hourCycle: "h23" });
    /** @type {Sample[]} */
    this.samples = [];
    /** @type {{time: number, counters: Counters} | null} */
    this.previous = null;
    this.table = find("#charts-table", HTMLDetailsElement);
    this.table.addEventListener("toggle", () => this.showTable());
    this.plots = [
      this.plot("#rate", library, messages, (sample) => sample.rate),
      this.plot("#age", library, messages, (sample) => sample.age),
    ];
  }

  /** @param {Messages} messages */
  static async open(messages) {
    return new DeliveryCharts(messages, await loadChartLibrary());
  }

  /**
   * A function that draws the samples.
   * @param {string} selector @param {ChartLibrary | null} library @param {Messages} messages @param {(sample: Sample) => number | null} read
   */
  plot(selector, library, messages, read) {
    const container = find(selector, HTMLElement);
    container.hidden = !library;
    if (!library) return () => {};
    const format = (/** @type {number} */ value) => this.number.format(value);
    const chart = library.createChart(container, CREATION_OPTIONS);
    const series = chart.addSeries(library.LineSeries, {
      lineWidth: 2,
      lastValueVisible: false,
      priceLineVisible: false,
      // From zero, so that the height of a line can be compared.
      autoscaleInfoProvider: (/** @type {() => import("lightweight-charts").AutoscaleInfo | null} */ measure) => ({
        priceRange: { minValue: 0, maxValue: measure()?.priceRange?.maxValue || 1 },
      }),
    });
    onThemeChange(() => {
      chart.applyOptions(plotOptions(container, messages, library, format));
      series.applyOptions({ color: themeColour(container, "brand") });
    });
    return () => {
      /** @type {{time: any, value?: number, color?: string}[]} */
      const points = [];
      this.samples.forEach((sample, i) => {
        const { time } = sample;
        const value = read(sample);
        const next = this.samples[i + 1];
        if (value === null) points.push({ time });
        else if (!next || (read(next) !== null && next.time - time <= GAP_SECONDS)) points.push({ time, value });
        // The library would connect the points on both sides of a gap.
        else points.push({ time, value, color: "transparent" }, { time: (time + next.time) / 2 });
      });
      series.setData(points);
      chart.timeScale().fitContent();
    };
  }

  /** @param {number} time UNIX seconds @param {Counters} counters @param {number[]} bounds of the age histogram, in seconds */
  add(time, counters, bounds) {
    const { previous } = this;
    this.previous = { time, counters };
    if (!previous || time <= previous.time || counters.delivered < previous.counters.delivered) return; // or the node restarted
    const rate = (counters.delivered - previous.counters.delivered) / (time - previous.time);
    const age = quantile(previous.counters.age_counts, counters.age_counts, bounds, 0.99);
    this.samples = [...this.samples, { time, rate, age }].slice(-MAX_SAMPLES);
    for (const draw of this.plots) draw();
    this.showTable();
  }

  showTable() {
    if (!this.table.open) return;
    const rows = this.samples.map(({ time, rate, age }) => [
      this.clock.format(time * 1000),
      this.number.format(rate),
      age === null ? "—" : `${this.number.format(age)} ms`,
    ]);
    fillTable(find("tbody", HTMLElement, this.table), rows.reverse());
  }
}
