// A chart of one ticker: stored prices or candles, continued by the stream, with older pages read while scrolling back.
// It reads and draws; how prices become slots is decided in series.js.

import { getSlots } from "./api.js";
import { areaOptions, candleOptions, chartOptions, CREATION_OPTIONS, onThemeChange } from "./chart-theme.js";
import { mergeSlots, RESOLUTIONS, slotStart, updateSlot, withGaps } from "./series.js";

/** @typedef {import("./series.js").Slot} Slot */
/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./cryptomarket.d.ts").Price} Price */
/** @typedef {import("./chart-theme.js").ChartLibrary} ChartLibrary */

const FIRST_PAGE = 1500;
const OLDER_PAGE = 5000;
const LARGEST_PAGE = 10_000;
/** The recorder stores a slot a few seconds after its end; then the streamed slots are compared with the stored ones. */
const RECONCILE_MS = 8000;
/** Older prices are read when fewer bars than this are left of the visible range. */
const EDGE_BARS = 40;
const INVISIBLE = { lineColor: "transparent", topColor: "transparent", bottomColor: "transparent" };

export class PriceChart {
  /** @param {HTMLElement} container @param {Messages} messages @param {number} interval seconds between stored prices @param {ChartLibrary} library */
  constructor(container, messages, interval, library) {
    this.container = container;
    this.messages = messages;
    this.interval = interval;
    this.library = library;
    this.ticker = "";
    /** Of the candles; empty for a line of the stored prices. */
    this.resolution = "";
    /** @type {Slot[]} */
    this.slots = [];
    /** Cursor of the next older page. @type {string | null} */
    this.older = null;
    this.requests = new AbortController();
    this.reconcileTimer = 0;
    this.readingOlder = false;
    /** Everything stored before this time is drawn. @type {number | undefined} */
    this.reconciledUntil = undefined;
    /** Called with the slots whenever more than the newest one changes. @type {(slots: Slot[]) => void} */
    this.onChange = () => {};
    this.chart = library.createChart(container, CREATION_OPTIONS);
    /** @type {import("lightweight-charts").ISeriesApi<any>} */
    this.series = this.chart.addSeries(library.AreaSeries);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < EDGE_BARS) this.readOlder();
    });
    onThemeChange(() => this.applyTheme());
  }

  /** Seconds from one point to the next. */
  get step() {
    return RESOLUTIONS[this.resolution] ?? this.interval;
  }

  applyTheme() {
    const decimals = () => Math.min(Math.max(this.slots.at(-1)?.text.split(".")[1]?.length ?? 2, 2), 8);
    const format = (/** @type {number} */ price) => this.messages.wholePrice(price.toFixed(decimals()));
    this.chart.applyOptions(chartOptions(this.container, this.messages, this.step, format));
    this.series.applyOptions(this.resolution ? candleOptions(this.container) : areaOptions(this.container, this.library));
  }

  /** Change the kind of the chart; `show` or `showRange` then fills it. @param {string} resolution */
  setResolution(resolution) {
    if (resolution === this.resolution) return;
    this.resolution = resolution;
    this.chart.removeSeries(this.series);
    const { AreaSeries, CandlestickSeries } = this.library;
    this.series = resolution ? this.chart.addSeries(CandlestickSeries) : this.chart.addSeries(AreaSeries);
    this.applyTheme();
  }

  /** @param {Record<string, string | number | null>} query @param {AbortSignal} signal */
  readPage(query, signal) {
    return getSlots({ ticker: this.ticker, resolution: this.resolution, ...query }, signal);
  }

  /** Remove everything and cancel requests in progress; returns the signal for new ones. @param {string} ticker */
  reset(ticker) {
    this.requests.abort();
    this.requests = new AbortController();
    this.readingOlder = false;
    this.ticker = ticker;
    this.older = null;
    this.reconciledUntil = undefined;
    this.setSlots([]);
    return this.requests.signal;
  }

  /** Show another ticker, starting with its newest stored prices. @param {string} ticker */
  async show(ticker) {
    const signal = this.reset(ticker);
    const { slots, next } = await this.readPage({ order: "desc", limit: FIRST_PAGE }, signal);
    this.older = next;
    this.reconciledUntil = slots.at(1)?.time;
    // The stream may have delivered newer prices meanwhile.
    this.setSlots(mergeSlots(slots, this.slots));
  }

  /** Show all from `start` (included) to `end` (excluded); returns whether nothing is missing. @param {string} ticker @param {string} start @param {string} end */
  async showRange(ticker, start, end) {
    const signal = this.reset(ticker);
    /** @type {Slot[]} */
    let slots = [];
    /** @type {string | null} */
    let cursor = null;
    let complete = false;
    do {
      const page = await this.readPage({ start, end, limit: LARGEST_PAGE, cursor }, signal);
      slots = [...slots, ...page.slots];
      cursor = page.next;
      complete = page.complete;
    } while (cursor && !signal.aborted);
    this.setSlots(slots);
    this.chart.timeScale().fitContent();
    return complete;
  }

  /** Make the last seconds visible, after reading older prices if needed. @param {number} seconds */
  async showLast(seconds) {
    const { signal } = this.requests;
    const newest = this.slots.at(-1)?.time;
    if (newest === undefined) return;
    const from = newest - seconds;
    while (!signal.aborted && this.older && (this.slots[0]?.time ?? 0) > from) {
      if (!(await this.readOlder())) break;
    }
    if (signal.aborted) return;
    const points = withGaps(this.slots, this.step);
    const first = points.findIndex((point) => point.time >= from);
    this.chart.timeScale().setVisibleLogicalRange({ from: first - 0.5, to: points.length + 3 });
  }

  /** Read the next older page; returns whether it did. */
  async readOlder() {
    if (this.readingOlder || !this.older) return false;
    this.readingOlder = true;
    const { signal } = this.requests;
    try {
      const { slots, next } = await this.readPage({ order: "desc", limit: OLDER_PAGE, cursor: this.older }, signal);
      this.older = next;
      this.setSlots(mergeSlots(slots, this.slots));
      return true;
    } catch {
      return false; // scrolling tries again
    } finally {
      if (!signal.aborted) this.readingOlder = false;
    }
  }

  /** @param {Slot[]} slots */
  setSlots(slots) {
    this.slots = slots;
    const points = withGaps(slots, this.step).map(({ time, slot, beforeGap }) => this.point(time, slot, beforeGap));
    this.series.setData(/** @type {any} */ (points));
    this.onChange(slots);
  }

  /** A slot as the library expects it. @param {number} time @param {Slot} [slot] @param {boolean} [beforeGap] */
  point(time, slot, beforeGap) {
    if (!slot) return { time };
    if (this.resolution) {
      const { open, high, low } = slot.candle ?? { open: slot.text, high: slot.text, low: slot.text };
      return { time, open: Number(open), high: Number(high), low: Number(low), close: slot.value };
    }
    return beforeGap ? { time, value: slot.value, ...INVISIBLE } : { time, value: slot.value };
  }

  /** Add a price of the stream. @param {Price} price */
  addPrice(price) {
    if (price.ticker !== this.ticker) return;
    const time = slotStart(Math.floor(price.exchange_timestamp / 1000), this.step);
    const last = this.slots.at(-1);
    if (last && time < last.time) return; // the exchange's clock sometimes steps back; `reconcile` corrects that slot
    const slot = updateSlot(last, time, price.price, this.resolution !== "");
    if (last && time > last.time + this.step) {
      this.setSlots([...this.slots, slot]); // with the gap before it
    } else {
      if (last?.time === time) this.slots[this.slots.length - 1] = slot;
      else this.slots.push(slot);
      this.series.update(/** @type {any} */ (this.point(time, slot)));
    }
    if (last && time > last.time) this.scheduleReconcile();
  }

  /** A pending timer is not restarted: with short slots it would never fire. */
  scheduleReconcile() {
    this.reconcileTimer ||= setTimeout(() => this.reconcile(), RECONCILE_MS);
  }

  /** Replace streamed slots by the stored ones: a slow timer leaves out slots that were recorded. */
  async reconcile() {
    clearTimeout(this.reconcileTimer);
    this.reconcileTimer = 0;
    const newest = this.slots.at(-1)?.time;
    if (newest === undefined) return;
    const { signal } = this.requests;
    // The newest slot is not stored yet: `end` excludes it.
    const start = Math.min(this.reconciledUntil ?? newest, newest - this.step);
    try {
      const { slots } = await this.readPage({ start, end: newest, limit: LARGEST_PAGE }, signal);
      if (signal.aborted) return;
      this.reconciledUntil = slots.at(-1)?.time ?? start;
      const known = new Map(this.slots.map((slot) => [slot.time, JSON.stringify(slot)]));
      if (slots.some((slot) => known.get(slot.time) !== JSON.stringify(slot))) this.setSlots(mergeSlots(this.slots, slots));
      else this.onChange(this.slots);
    } catch {
      this.scheduleReconcile();
    }
  }
}
