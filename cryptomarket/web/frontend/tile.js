// One tile: the price of one ticker, its move, its age, its last hour.

import { prices } from "./api.js";
import { fillTable } from "./dom.js";
import { drawSparkline, priceRange } from "./sparkline.js";

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./cryptomarket.d.ts").Price} Price */
/** @typedef {{time: number, price: number, text: string}} Point */

const HOUR = 3600;
const DAY = 86_400;
/** The day's change is said only when a price was stored this near to 24 hours ago (seconds). */
const DAY_TOLERANCE = 1800;
/** Where the server calls the feed silent, a ticker younger than this has spoken and is fine. */
const SPOKEN_MS = 3000;
/** Live points on the chart, at most one a second; older ones give way to the stored slots. */
const MOST_LIVE_POINTS = 600;

export class Tile {
  /** @param {HTMLElement} article @param {Messages} messages @param {number} interval seconds between stored prices */
  constructor(article, messages, interval) {
    this.article = article;
    this.messages = messages;
    this.interval = interval;
    this.ticker = article.dataset.ticker ?? "";
    this.whole = this.find(".whole");
    this.fraction = this.find(".fraction");
    this.move = this.find(".move");
    this.ageText = this.find(".age-text");
    this.svg = /** @type {SVGElement} */ (article.querySelector("svg.chart"));
    this.rows = this.find("tbody");
    /** @type {Price | null} */
    this.price = null;
    this.shownAt = 0;
    this.sourceAge = 0;
    this.sourceAgeAt = 0;
    /** @type {Point[]} */
    this.stored = [];
    /** @type {Point[]} */
    this.live = [];
    /** @type {number | null} */
    this.dayAgo = null;
    this.drawnAt = 0;
    this.find("details").addEventListener("toggle", () => this.showTable());
  }

  /** @param {string} selector @returns {HTMLElement} */
  find(selector) {
    return /** @type {HTMLElement} */ (this.article.querySelector(selector));
  }

  /** A price arrived. @param {Price} price */
  show(price) {
    const before = this.price;
    this.price = price;
    this.shownAt = performance.now();
    this.heardOf(0);
    const { whole, fraction } = this.messages.price(price.price);
    this.whole.textContent = whole;
    this.fraction.textContent = fraction;
    if (before) this.showMove(Number(price.price) - Number(before.price), price.price);
    this.article.dataset.fresh = "yes";
    this.remember(price);
    this.refresh(true, false);
    if (this.shownAt - this.drawnAt > 900) this.drawHour();
  }

  /** @param {number} difference @param {string} like a price with the decimals to show */
  showMove(difference, like) {
    const decimals = Math.max(2, like.split(".")[1]?.length ?? 0);
    const text = this.messages.wholePrice(Math.abs(difference).toFixed(decimals));
    const kind = difference > 0 ? "up" : difference < 0 ? "down" : "none";
    this.move.dataset.move = kind;
    this.move.textContent = { up: `▲ ${text}`, down: `▼ ${text}`, none: "＝" }[kind];
    this.move.setAttribute("aria-label", this.messages.text(`move.${kind}`, { difference: text }));
    this.move.setAttribute("role", "img");
  }

  /** The exchange does not send this ticker. */
  refused() {
    this.ageText.textContent = this.messages.text("age.refused");
    this.article.dataset.fresh = "no";
  }

  /** The server last heard of this ticker so many milliseconds ago. @param {number} age */
  heardOf(age) {
    this.sourceAge = age;
    this.sourceAgeAt = performance.now();
  }

  /** Tell the age, and whether to believe the price. @param {boolean} fresh @param {boolean} silent */
  refresh(fresh, silent) {
    if (!this.price) return;
    const now = performance.now();
    const sourceAge = this.sourceAge + now - this.sourceAgeAt;
    const stale = !fresh || (silent && sourceAge > SPOKEN_MS);
    this.article.dataset.fresh = stale ? "no" : "yes";
    const age = this.messages.age(now - this.shownAt);
    const text = stale ? this.messages.text("age.stale", { age }) : age;
    if (this.ageText.textContent !== text) this.ageText.textContent = text;
  }

  /** For the title of the page. */
  headline() {
    const arrow = { up: "▲ ", down: "▼ " }[this.move.dataset.move ?? ""] ?? "";
    return `${arrow}${this.messages.wholePrice(this.price?.price ?? "0")} ${this.ticker.toUpperCase().replace("_", "/")}`;
  }

  /** For ears. */
  spoken() {
    const price = this.price ? this.messages.wholePrice(this.price.price) : this.messages.text("age.waiting");
    return this.messages.text("announce.price", { ticker: this.ticker.replace("_", " "), price });
  }

  /* The last hour */

  /** Read the stored prices of the last hour, and the one of a day ago. */
  async loadHistory() {
    const now = Math.floor(Date.now() / 1000);
    try {
      const hour = await prices({ ticker: this.ticker, start: now - HOUR, limit: 5000 });
      this.stored = hour.slots.map(({ exact_time, value, text }) => ({ time: exact_time, price: value, text }));
      const [old] = (await prices({ ticker: this.ticker, start: now - DAY, limit: 1 })).slots;
      this.dayAgo = old && Math.abs(old.time - (now - DAY)) <= DAY_TOLERANCE ? old.value : null;
    } catch {
      return; // the stream goes on without history; the next reading may succeed
    }
    this.drawHour();
  }

  /** @param {Price} price */
  remember(price) {
    const point = { time: price.exchange_timestamp / 1000, price: Number(price.price), text: price.price };
    const last = this.live.at(-1);
    if (last && point.time - last.time < 1) this.live[this.live.length - 1] = point;
    else this.live.push(point);
    if (this.live.length > MOST_LIVE_POINTS) this.live.shift();
  }

  /** Stored points, then the live ones that are newer. */
  points() {
    const newest = this.stored.at(-1)?.time ?? 0;
    const from = Date.now() / 1000 - HOUR;
    return [...this.stored, ...this.live.filter((point) => point.time > newest)].filter((point) => point.time >= from);
  }

  drawHour() {
    this.drawnAt = performance.now();
    const points = this.points();
    const first = points[0];
    const last = points.at(-1);
    if (!first || !last) return;
    // The exchange's clock may be ahead of this machine's.
    const now = Math.max(Date.now() / 1000, last.time);
    drawSparkline(this.svg, points, now - HOUR, now, Math.max(this.interval, 60));
    const { low, high } = priceRange(points);
    const price = (/** @type {number} */ price) => this.messages.wholePrice(String(price));
    this.find(".from").textContent = this.messages.time(now - HOUR);
    this.find(".to").textContent = this.messages.time(now);
    this.find(".extent").textContent = this.messages.text("tile.extent", { low: price(low), high: price(high) });
    const spoken = { ticker: this.ticker, first: price(first.price), last: price(last.price), low: price(low), high: price(high) };
    this.svg.setAttribute("aria-label", this.messages.text("tile.hour.full", spoken));
    this.showDay(last.price);
    this.showTable();
  }

  /** @param {number} price */
  showDay(price) {
    const shown = this.find(".day-change");
    const change = this.dayAgo ? price / this.dayAgo - 1 : null;
    shown.textContent = change === null ? "—" : this.messages.percent.format(change);
    shown.dataset.move = change === null || change === 0 ? "none" : change > 0 ? "up" : "down";
  }

  /** The stored prices in messages, newest first, while the table is open. */
  showTable() {
    if (!(/** @type {HTMLDetailsElement} */ (this.find("details")).open)) return;
    fillTable(this.rows, [...this.stored].reverse().map(({ time, text }) => [this.messages.time(time), this.messages.wholePrice(text)]));
  }
}
