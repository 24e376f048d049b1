// A chart of one ticker: stored prices or candles, then the stream without a seam, older ones when one scrolls back.
// The library draws; what is drawn is decided in series.js.

import { candles, prices } from "./api.js";
import { candleOptions, chartOptions, areaOptions } from "./chart-theme.js";
import { merged, moved, RESOLUTIONS, slotOf, withHoles } from "./series.js";

/** @typedef {import("./series.js").Slot} Slot */
/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./cryptomarket.d.ts").Price} Price */
/** @typedef {typeof import("lightweight-charts")} Library */

const FIRST_PAGE = 1500;
const OLDER_PAGE = 5000;
/** The recorder writes a slot a few seconds after its end; then ours is compared with the stored one. */
const SETTLE_MS = 8000;
/** Nearer than so many bars to the left edge, older ones are read. */
const NEAR_EDGE = 40;

/** The library, or null where this installation was built without it. @returns {Promise<Library | null>} */
export async function chartLibrary() {
  const address = new URL("./vendor/lightweight-charts.js", import.meta.url).href;
  try {
    return await import(address);
  } catch {
    return null;
  }
}

export class PriceChart {
  /** @param {HTMLElement} place @param {Messages} messages @param {number} interval of stored prices @param {Library} library */
  constructor(place, messages, interval, library) {
    this.place = place;
    this.messages = messages;
    this.interval = interval;
    this.library = library;
    this.ticker = "";
    /** Candles of this resolution; a line of the stored prices when empty. */
    this.resolution = "";
    /** @type {Slot[]} */
    this.slots = [];
    /** @type {string | null} */
    this.older = null;
    this.reading = new AbortController();
    this.settling = 0;
    this.busy = false;
    /** Up to here nothing stored can be unknown to us. @type {number | undefined} */
    this.lastSettled = undefined;
    /** Called with the slots whenever they change by more than the newest. @type {(slots: Slot[]) => void} */
    this.changed = () => {};
    // The logo would be written as HTML with an inline style, which the policy of the page refuses; the foot names it.
    this.chart = library.createChart(place, { autoSize: true, layout: { attributionLogo: false } });
    /** @type {import("lightweight-charts").ISeriesApi<any>} */
    this.series = this.chart.addSeries(library.AreaSeries);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR_EDGE) this.readOlder();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    new MutationObserver(() => this.repaint()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    this.repaint();
  }

  /** Seconds from one point to the next. */
  get step() {
    return RESOLUTIONS[this.resolution] ?? this.interval;
  }

  repaint() {
    const decimals = () => Math.min(Math.max(this.slots.at(-1)?.text.split(".")[1]?.length ?? 2, 2), 8);
    this.chart.applyOptions(chartOptions(this.place, this.messages, this.step, decimals));
    this.series.applyOptions(this.resolution ? candleOptions(this.place) : areaOptions(this.place, this.library));
  }

  /** Draw candles of a resolution from now on, or the line; `show` fills it. @param {string} resolution */
  draw(resolution) {
    if (resolution === this.resolution) return;
    this.resolution = resolution;
    this.chart.removeSeries(this.series);
    const { AreaSeries, CandlestickSeries } = this.library;
    this.series = resolution ? this.chart.addSeries(CandlestickSeries) : this.chart.addSeries(AreaSeries);
    this.repaint();
  }

  /** @param {Record<string, string | number | null>} query @param {AbortSignal} signal */
  page(query, signal) {
    const asked = { ticker: this.ticker, ...query };
    return this.resolution ? candles({ ...asked, resolution: this.resolution }, signal) : prices(asked, signal);
  }

  /** Begin with nothing. @param {string} ticker */
  clear(ticker) {
    this.reading.abort();
    this.reading = new AbortController();
    this.busy = false;
    this.ticker = ticker;
    this.older = null;
    this.lastSettled = undefined;
    this.take([]);
    return this.reading.signal;
  }

  /** Another ticker, from its newest stored prices on. @param {string} ticker */
  async show(ticker) {
    const signal = this.clear(ticker);
    const { slots, next } = await this.page({ order: "desc", limit: FIRST_PAGE }, signal);
    this.older = next;
    this.lastSettled = slots.at(1)?.time;
    // A price may have come by the stream meanwhile; it is newer than what was stored.
    this.take(merged(slots, this.slots));
  }

  /** Everything from `start` to before `end` as the API understands them. @param {string} ticker @param {string} start @param {string} end */
  async showRange(ticker, start, end) {
    const signal = this.clear(ticker);
    /** @type {Slot[]} */
    let found = [];
    /** @type {string | null} */
    let cursor = null;
    let complete = false;
    do {
      const page = await this.page({ start, end, limit: 10_000, cursor }, signal);
      found = [...found, ...page.slots];
      cursor = page.next;
      complete = page.complete;
    } while (cursor && !signal.aborted);
    this.take(found);
    this.chart.timeScale().fitContent();
    return complete;
  }

  /** Make so many seconds up to now visible, reading older prices first if needed. @param {number} seconds */
  async showLast(seconds) {
    const { signal } = this.reading;
    const newest = this.slots.at(-1)?.time;
    if (newest === undefined) return;
    const from = newest - seconds;
    while (!signal.aborted && this.older && (this.slots[0]?.time ?? 0) > from) {
      if (!(await this.readOlder())) break;
    }
    if (signal.aborted) return;
    const drawn = withHoles(this.slots, this.step);
    const first = drawn.findIndex((point) => point.time >= from);
    this.chart.timeScale().setVisibleLogicalRange({ from: first - 0.5, to: drawn.length + 3 });
  }

  /** Whether older ones were read. */
  async readOlder() {
    if (this.busy || !this.older) return false;
    this.busy = true;
    const { signal } = this.reading;
    try {
      const { slots, next } = await this.page({ order: "desc", limit: OLDER_PAGE, cursor: this.older }, signal);
      this.older = next;
      this.take(merged(slots, this.slots));
      return true;
    } catch {
      return false; // scrolling asks again
    } finally {
      if (!signal.aborted) this.busy = false;
    }
  }

  /** @param {Slot[]} slots */
  take(slots) {
    this.slots = slots;
    const points = withHoles(slots, this.step).map(({ time, slot, broken }) => this.point(time, slot, broken));
    this.series.setData(/** @type {any} */ (points));
    this.changed(slots);
  }

  /** What the library wants to know of a slot. @param {number} time @param {Slot} [slot] @param {boolean} [broken] */
  point(time, slot, broken) {
    if (!slot) return { time };
    if (this.resolution) {
      const { open, high, low } = slot.candle ?? { open: slot.text, high: slot.text, low: slot.text };
      return { time, open: Number(open), high: Number(high), low: Number(low), close: slot.value };
    }
    const unseen = { lineColor: "transparent", topColor: "transparent", bottomColor: "transparent" };
    return broken ? { time, value: slot.value, ...unseen } : { time, value: slot.value };
  }

  /** A price of the stream. @param {Price} price */
  live(price) {
    if (price.ticker !== this.ticker) return;
    const time = slotOf(Math.floor(price.exchange_timestamp / 1000), this.step);
    const last = this.slots.at(-1);
    if (last && time < last.time) return; // the exchange's clock steps back now and then; the slot is settled later
    const slot = moved(last, time, price.price, this.resolution !== "");
    if (last && time > last.time + this.step) {
      this.take([...this.slots, slot]); // a hole, drawn as one
    } else {
      if (last?.time === time) this.slots[this.slots.length - 1] = slot;
      else this.slots.push(slot);
      this.series.update(/** @type {any} */ (this.point(time, slot)));
    }
    if (last && time > last.time) this.settle();
  }

  /** Soon read again what was stored since, so that what the stream left out is not missing here. */
  settle() {
    // One that waits is not put off: with short slots it would never come.
    this.settling ||= setTimeout(() => this.reconcile(), SETTLE_MS);
  }

  async reconcile() {
    clearTimeout(this.settling);
    this.settling = 0;
    const newest = this.slots.at(-1)?.time;
    if (newest === undefined) return;
    const { signal } = this.reading;
    // The slot in progress is the stream's.
    const since = Math.min(this.lastSettled ?? newest, newest - this.step);
    try {
      const { slots } = await this.page({ start: since, end: newest, limit: 10_000 }, signal);
      if (signal.aborted) return;
      this.lastSettled = slots.at(-1)?.time ?? since;
      const before = new Map(this.slots.map((slot) => [slot.time, JSON.stringify(slot)]));
      if (slots.some((slot) => before.get(slot.time) !== JSON.stringify(slot))) this.take(merged(this.slots, slots));
      else this.changed(this.slots);
    } catch {
      this.settle();
    }
  }
}
