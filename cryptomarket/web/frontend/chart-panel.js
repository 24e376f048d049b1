// The large chart of the board: choice of ticker, kind and time span, and a table of the same values.

import { loadChartLibrary } from "./chart-theme.js";
import { checkedValue, fillTable, find } from "./dom.js";
import { PriceChart } from "./price-chart.js";
import { findGaps } from "./series.js";

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./series.js").Slot} Slot */

/** More rows would be slow to lay out; /history has them all. */
const MAX_ROWS = 500;

export class ChartPanel {
  /** @param {PriceChart} chart @param {Messages} messages */
  constructor(chart, messages) {
    this.chart = chart;
    this.messages = messages;
    this.form = find("#panel-form", HTMLFormElement);
    this.choice = find("#panel-tickers", HTMLFieldSetElement);
    this.table = find("#panel-table", HTMLDetailsElement);
    const timeStyle = chart.interval < 60 ? "medium" : "short";
    this.timeFormat = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeStyle, hourCycle: "h23" });
    chart.onChange = (slots) => this.describe(slots);
    this.table.addEventListener("toggle", () => this.describe(chart.slots));
    this.form.addEventListener("change", (event) => {
      const { name } = /** @type {HTMLInputElement} */ (event.target);
      if (name === "hours") chart.showLast(this.seconds());
      else this.show(checkedValue(this.form, "chart-ticker"));
    });
  }

  /** The panel, or null without the chart library. @param {Messages} messages @param {number} interval */
  static async open(messages, interval) {
    const library = await loadChartLibrary();
    if (!library) return null;
    find("#panel", HTMLElement).hidden = false;
    return new ChartPanel(new PriceChart(find("#canvas", HTMLElement), messages, interval, library), messages);
  }

  /** Set the tickers to choose from; the present one stays if it is among them. @param {string[]} tickers */
  async setTickers(tickers) {
    const selected = tickers.includes(this.chart.ticker) ? this.chart.ticker : tickers[0];
    for (const label of this.choice.querySelectorAll("label")) label.remove();
    for (const ticker of tickers) {
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "chart-ticker", value: ticker });
      radio.checked = ticker === selected;
      const text = document.createElement("span");
      text.textContent = ticker;
      const label = document.createElement("label");
      label.append(radio, text);
      this.choice.append(label);
    }
    if (selected && selected !== this.chart.ticker) await this.show(selected);
  }

  /** The chosen time span. */
  seconds() {
    return Number(checkedValue(this.form, "hours")) * 3600;
  }

  /** @param {string} ticker */
  async show(ticker) {
    this.chart.setResolution(checkedValue(this.form, "kind"));
    try {
      await this.chart.show(ticker);
      await this.chart.showLast(this.seconds());
    } catch (error) {
      if (!(error instanceof DOMException)) this.chart.scheduleReconcile(); // the stream starts the chart
    }
    if (this.chart.ticker === ticker) this.describe(this.chart.slots);
  }

  /** Write the description of the chart, and the table while it is open. @param {Slot[]} slots */
  describe(slots) {
    const { ticker, step } = this.chart;
    const first = slots[0];
    const last = slots.at(-1);
    const time = (/** @type {number} */ seconds) => this.timeFormat.format(seconds * 1000);
    let text = this.messages.text("panel.empty", { ticker });
    const gaps = findGaps(slots, step);
    if (first && last) {
      text = this.messages.text("panel.full", { ticker, from: time(first.time), to: time(last.time), n: slots.length });
      const missing = gaps.reduce((sum, gap) => sum + (gap.to - gap.from) / step, 0);
      if (missing) text += this.messages.text("panel.gaps", { n: Math.round(missing) });
    }
    find("#canvas", HTMLElement).setAttribute("aria-label", text);
    if (!this.table.open) return;
    const rows = [
      ...slots.map((slot) => ({ time: slot.time, text: this.messages.wholePrice(slot.text) })),
      ...gaps.map((gap) => ({ time: gap.from, text: this.messages.text("table.missing", { time: time(gap.to) }) })),
    ];
    rows.sort((one, other) => other.time - one.time);
    fillTable(find("tbody", HTMLElement, this.table), rows.slice(0, MAX_ROWS).map((row) => [time(row.time), row.text]));
  }
}
