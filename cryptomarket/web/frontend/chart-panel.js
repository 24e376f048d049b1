// The panel below the tiles: the large chart, which ticker it shows, how far back, and its twin in rows.

import { chosen, find } from "./dom.js";
import { chartLibrary, PriceChart } from "./price-chart.js";
import { holes } from "./series.js";
import { fillTable } from "./table.js";

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./series.js").Slot} Slot */

/** More rows would be slow to lay out; /history has them all. */
const MOST_ROWS = 500;

export class ChartPanel {
  /** @param {PriceChart} chart @param {Messages} messages */
  constructor(chart, messages) {
    this.chart = chart;
    this.messages = messages;
    this.form = find("#panel-form", HTMLFormElement);
    this.choice = find("#panel-tickers", HTMLFieldSetElement);
    this.table = find("#panel-table", HTMLDetailsElement);
    const timeStyle = chart.interval < 60 ? "medium" : "short";
    this.moments = new Intl.DateTimeFormat(messages.dates, { dateStyle: "medium", timeStyle, hourCycle: "h23" });
    chart.changed = (slots) => this.describe(slots);
    this.table.addEventListener("toggle", () => this.describe(chart.slots));
    this.form.addEventListener("change", (event) => {
      const { name } = /** @type {HTMLInputElement} */ (event.target);
      if (name === "hours") chart.showLast(this.seconds());
      else this.show(chosen(this.form, "chart-ticker"));
    });
  }

  /** The panel, or null where there is no chart library. @param {Messages} messages @param {number} interval */
  static async open(messages, interval) {
    const library = await chartLibrary();
    if (!library) return null;
    find("#panel", HTMLElement).hidden = false;
    return new ChartPanel(new PriceChart(find("#canvas", HTMLElement), messages, interval, library), messages);
  }

  /** Which tickers can be chosen; goes on with the one shown if it is among them. @param {string[]} tickers */
  async offer(tickers) {
    const shown = tickers.includes(this.chart.ticker) ? this.chart.ticker : tickers[0];
    for (const label of this.choice.querySelectorAll("label")) label.remove();
    for (const ticker of tickers) {
      const radio = Object.assign(document.createElement("input"), { type: "radio", name: "chart-ticker", value: ticker });
      radio.checked = ticker === shown;
      const text = document.createElement("span");
      text.textContent = ticker;
      const label = document.createElement("label");
      label.append(radio, text);
      this.choice.append(label);
    }
    if (shown && shown !== this.chart.ticker) await this.show(shown);
  }

  /** How far back to look. */
  seconds() {
    return Number(chosen(this.form, "hours")) * 3600;
  }

  /** @param {string} ticker */
  async show(ticker) {
    this.chart.draw(chosen(this.form, "kind"));
    try {
      await this.chart.show(ticker);
      await this.chart.showLast(this.seconds());
    } catch (error) {
      if (!(error instanceof DOMException)) this.chart.settle(); // the next price begins the line
    }
    if (this.chart.ticker === ticker) this.describe(this.chart.slots);
  }

  /** @param {Slot[]} slots */
  describe(slots) {
    const { ticker, step } = this.chart;
    const first = slots[0];
    const last = slots.at(-1);
    const moment = (/** @type {number} */ seconds) => this.moments.format(seconds * 1000);
    let text = this.messages.text("panel.empty", { ticker });
    const missing = holes(slots, step);
    if (first && last) {
      text = this.messages.text("panel.full", { ticker, from: moment(first.time), to: moment(last.time), n: slots.length });
      const count = missing.reduce((sum, hole) => sum + (hole.to - hole.from) / step, 0);
      if (count) text += this.messages.text("panel.holes", { n: Math.round(count) });
    }
    find("#canvas", HTMLElement).setAttribute("aria-label", text);
    if (!this.table.open) return;
    const rows = slots.map((slot) => ({ time: slot.time, text: this.messages.wholePrice(slot.text) }));
    for (const hole of missing) rows.push({ time: hole.from, text: this.messages.text("table.missing", { time: moment(hole.to) }) });
    rows.sort((one, other) => other.time - one.time);
    fillTable(find("tbody", HTMLElement, this.table), rows.slice(0, MOST_ROWS).map((row) => [moment(row.time), row.text]));
  }
}
