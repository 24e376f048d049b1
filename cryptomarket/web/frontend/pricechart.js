// The large chart of one ticker: stored prices, then the stream without a seam, older ones when one scrolls back.
// The library draws; what is drawn is decided in slots.js.

import { prices } from "./api.js";
import { merged, slotOf, withHoles } from "./slots.js";

/** @typedef {import("./slots.js").Slot} Slot */
/** @typedef {import("./words.js").Words} Words */
/** @typedef {import("./feed.js").Price} Price */
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
  /** @param {HTMLElement} place @param {Words} words @param {number} interval @param {Library} library */
  constructor(place, words, interval, library) {
    this.place = place;
    this.words = words;
    this.interval = interval;
    this.library = library;
    this.ticker = "";
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
    this.chart = library.createChart(place, { autoSize: true, ...this.looks() });
    this.series = this.chart.addSeries(library.AreaSeries, this.seriesLooks());
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR_EDGE) this.readOlder();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    new MutationObserver(() => this.repaint()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  /** A colour of the house as the browser computes it: the library knows no light-dark(). @param {string} name */
  colour(name) {
    this.place.style.color = `var(--${name})`;
    return getComputedStyle(this.place).color;
  }

  looks() {
    const language = this.words.language;
    const exactly = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });
    const marks = [{ year: "numeric" }, { month: "short" }, { day: "numeric", month: "short" }].map(
      (parts) => new Intl.DateTimeFormat(language, /** @type {Intl.DateTimeFormatOptions} */ (parts)),
    );
    const line = this.colour("line");
    return {
      layout: {
        background: { color: this.colour("card") },
        textColor: this.colour("soft"),
        fontFamily: getComputedStyle(document.body).fontFamily,
        attributionLogo: false, // it brings an inline style; the foot of the page names the library
      },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      timeScale: {
        timeVisible: true,
        secondsVisible: this.interval < 60,
        borderColor: line,
        tickMarkFormatter: (/** @type {any} */ time, /** @type {number} */ kind) =>
          (marks[kind] ?? this.words.clock).format(time * 1000),
      },
      rightPriceScale: { borderColor: line },
      localization: {
        locale: language,
        timeFormatter: (/** @type {any} */ time) => exactly.format(time * 1000),
        priceFormatter: (/** @type {number} */ price) => this.words.wholePrice(price.toFixed(this.decimals())),
      },
    };
  }

  seriesLooks() {
    const line = this.colour("brand");
    const faded = line.replace(/^rgb\((.*)\)$/, "rgba($1, 0.14)");
    const nothing = line.replace(/^rgb\((.*)\)$/, "rgba($1, 0)");
    const { LineType, LastPriceAnimationMode } = this.library;
    return {
      lineColor: line,
      topColor: faded,
      bottomColor: nothing,
      lineWidth: /** @type {const} */ (2),
      lineType: LineType.Simple,
      priceLineColor: this.colour("amber"),
      crosshairMarkerBackgroundColor: this.colour("amber"),
      lastPriceAnimation: matchMedia("(prefers-reduced-motion: reduce)").matches
        ? LastPriceAnimationMode.Disabled
        : LastPriceAnimationMode.OnDataUpdate,
    };
  }

  repaint() {
    this.chart.applyOptions(this.looks());
    this.series.applyOptions(this.seriesLooks());
  }

  decimals() {
    const digits = this.slots?.at(-1)?.text.split(".")[1]?.length ?? 2;
    return Math.min(Math.max(digits, 2), 8);
  }

  /** Another ticker, from its newest stored prices on. @param {string} ticker */
  async show(ticker) {
    this.reading.abort();
    this.reading = new AbortController();
    this.ticker = ticker;
    this.slots = [];
    this.older = null;
    this.series.setData([]);
    const { signal } = this.reading;
    const { slots, next } = await prices({ ticker, order: "desc", limit: FIRST_PAGE }, signal);
    this.older = next;
    this.lastSettled = slots.at(1)?.time;
    // A price may have come by the stream meanwhile; it is newer than what was stored.
    this.take(merged(slots, this.slots));
    this.showLast(3 * 3600);
  }

  /** Make so many seconds up to now visible, reading older prices first if needed. @param {number} seconds */
  async showLast(seconds) {
    const { signal } = this.reading;
    const newest = this.slots.at(-1)?.time;
    if (newest === undefined) return;
    const from = newest - seconds;
    while (!signal.aborted && this.older && (this.slots[0]?.time ?? 0) > from) await this.readOlder();
    if (signal.aborted) return;
    const shown = this.slots.filter((slot) => slot.time >= from).length;
    const missing = withHoles(this.slots, this.interval);
    const first = missing.findIndex((slot) => slot.time >= from);
    if (shown) this.chart.timeScale().setVisibleLogicalRange({ from: first - 0.5, to: missing.length + 4 });
  }

  async readOlder() {
    if (this.busy || !this.older) return;
    this.busy = true;
    const { signal } = this.reading;
    try {
      const query = { ticker: this.ticker, order: "desc", limit: OLDER_PAGE, cursor: this.older };
      const { slots, next } = await prices(query, signal);
      this.older = next;
      this.take(merged(slots, this.slots));
    } catch {
      // Scrolling asks again.
    } finally {
      this.busy = false;
    }
  }

  /** @param {Slot[]} slots */
  take(slots) {
    this.slots = slots;
    const unseen = { lineColor: "transparent", topColor: "transparent", bottomColor: "transparent" };
    const drawn = withHoles(slots, this.interval).map(({ broken, ...point }) => (broken ? { ...point, ...unseen } : point));
    this.series.setData(/** @type {any} */ (drawn));
    this.changed(slots);
  }

  /** A price of the stream. @param {Price} price */
  live(price) {
    if (price.ticker !== this.ticker) return;
    const time = slotOf(Math.floor(price.exchange_timestamp / 1000), this.interval);
    const slot = { time, value: Number(price.price), text: price.price };
    const last = this.slots.at(-1);
    if (last && time < last.time) return; // the exchange's clock steps back now and then; the slot is settled later
    if (last && time > last.time + this.interval) {
      this.take([...this.slots, slot]); // a hole, drawn as one
    } else {
      if (last?.time === time) this.slots[this.slots.length - 1] = slot;
      else this.slots.push(slot);
      this.series.update(/** @type {any} */ ({ time, value: slot.value }));
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
    const since = Math.min(this.lastSettled ?? newest, newest - this.interval);
    try {
      const { slots } = await prices({ ticker: this.ticker, start: since, end: newest, limit: 10_000 }, signal);
      if (signal.aborted) return;
      this.lastSettled = slots.at(-1)?.time ?? since;
      const before = new Map(this.slots.map((slot) => [slot.time, slot.text]));
      if (slots.some((slot) => before.get(slot.time) !== slot.text)) this.take(merged(this.slots, slots));
      else this.changed(this.slots);
    } catch {
      this.settle();
    }
  }
}
