// A tile of the board: the price of one ticker, its move, its age and its last hour.

import { getSlots } from "./api.js";
import { fillTable } from "./dom.js";
import { drawSparkline } from "./sparkline.js";

/** @typedef {import("./i18n.js").Messages} Messages */
/** @typedef {import("./cryptomarket.d.ts").Price} Price */
/** @typedef {{time: number, price: number, text: string}} Point */

const HOUR = 3600;
const DAY = 86_400;
/** The change of the day needs a stored price at most this far from 24 hours ago, in seconds. */
const DAY_TOLERANCE = 1800;
/** While the upstream state is "stale", a ticker with a tick younger than this still counts as fresh. */
const FRESH_MS = 3000;
/** Streamed points of the sparkline, at most one a second; stored prices replace older ones. */
const MAX_LIVE_POINTS = 600;
const REDRAW_MS = 900;

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
    /** When the gateway last received a tick of this ticker. */
    this.lastTickAt = 0;
    /** Why the ticker is not delivered, or empty. */
    this.gap = "";
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

  /** Show a price of the stream. @param {Price} price */
  show(price) {
    const before = this.price;
    this.price = price;
    this.shownAt = performance.now();
    this.setTickAge(0);
    this.gap = "";
    const { whole, fraction } = this.messages.price(price.price);
    this.whole.textContent = whole;
    this.fraction.textContent = fraction;
    if (before) this.showMove(Number(price.price) - Number(before.price), price.price);
    this.addPoint(price);
    this.refresh(true, false);
    if (this.shownAt - this.drawnAt > REDRAW_MS) this.drawHour();
  }

  /** @param {number} difference @param {string} price whose number of decimals is used */
  showMove(difference, price) {
    const decimals = Math.max(2, price.split(".")[1]?.length ?? 0);
    const text = this.messages.wholePrice(Math.abs(difference).toFixed(decimals));
    const kind = difference > 0 ? "up" : difference < 0 ? "down" : "none";
    this.move.dataset.move = kind;
    this.move.textContent = { up: `▲ ${text}`, down: `▼ ${text}`, none: "＝" }[kind];
    this.move.setAttribute("aria-label", this.messages.text(`move.${kind}`, { difference: text }));
    this.move.setAttribute("role", "img");
  }

  /** The ticker is not delivered until its next price. @param {string} reason "refused" by the exchange, or "full" */
  showGap(reason) {
    this.gap = reason;
    this.article.dataset.fresh = "no";
    this.ageText.textContent = this.messages.text(`age.${reason}`);
  }

  /** @param {number} age milliseconds since the gateway received the last tick of this ticker */
  setTickAge(age) {
    this.lastTickAt = performance.now() - age;
  }

  /** Update the age of the price. @param {boolean} connected @param {boolean} stale whether the upstream state is "stale" */
  refresh(connected, stale) {
    if (!this.price || this.gap) return;
    const now = performance.now();
    const fresh = connected && !(stale && now - this.lastTickAt > FRESH_MS);
    this.article.dataset.fresh = fresh ? "yes" : "no";
    const age = this.messages.age(now - this.shownAt);
    const text = fresh ? age : this.messages.text("age.stale", { age });
    if (this.ageText.textContent !== text) this.ageText.textContent = text;
  }

  /** The price for the title of the page. */
  title() {
    const arrow = { up: "▲ ", down: "▼ " }[this.move.dataset.move ?? ""] ?? "";
    return `${arrow}${this.messages.wholePrice(this.price?.price ?? "0")} ${this.ticker.toUpperCase().replace("_", "/")}`;
  }

  /** The price for screen readers. */
  announcement() {
    const missing = this.messages.text(`age.${this.gap || "waiting"}`);
    const price = this.price && !this.gap ? this.messages.wholePrice(this.price.price) : missing;
    return this.messages.text("announce.price", { ticker: this.ticker.replace("_", " "), price });
  }

  /* The last hour */

  /** Read the stored prices of the last hour, and the price of 24 hours ago. */
  async loadHistory() {
    const now = Math.floor(Date.now() / 1000);
    try {
      const hour = await getSlots({ ticker: this.ticker, start: now - HOUR, limit: 5000 });
      this.stored = hour.slots.map(({ time, tickTime = time, value, text }) => ({ time: tickTime, price: value, text }));
      const [old] = (await getSlots({ ticker: this.ticker, start: now - DAY, limit: 1 })).slots;
      this.dayAgo = old && Math.abs(old.time - (now - DAY)) <= DAY_TOLERANCE ? old.value : null;
    } catch {
      return; // the stream continues without history; a later call tries again
    }
    this.drawHour();
  }

  /** @param {Price} price */
  addPoint(price) {
    const point = { time: price.exchange_timestamp / 1000, price: Number(price.price), text: price.price };
    const last = this.live.at(-1);
    if (last && point.time - last.time < 1) this.live[this.live.length - 1] = point;
    else this.live.push(point);
    if (this.live.length > MAX_LIVE_POINTS) this.live.shift();
  }

  /** The stored points of the last hour, then the newer live ones. */
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
    const range = drawSparkline(this.svg, points, now - HOUR, now, Math.max(this.interval, 60));
    const format = (/** @type {number} */ price) => this.messages.wholePrice(String(price));
    const [low, high] = [format(range.low), format(range.high)];
    this.find(".from").textContent = this.messages.time(now - HOUR);
    this.find(".to").textContent = this.messages.time(now);
    this.find(".extent").textContent = `${low} – ${high}`;
    const values = { ticker: this.ticker, first: format(first.price), last: format(last.price), low, high };
    this.svg.setAttribute("aria-label", this.messages.text("tile.hour.full", values));
    this.showDayChange(last.price);
    this.showTable();
  }

  /** @param {number} price */
  showDayChange(price) {
    const element = this.find(".day-change");
    const change = this.dayAgo ? price / this.dayAgo - 1 : null;
    element.textContent = change === null ? "—" : this.messages.percent.format(change);
    element.dataset.move = change === null || change === 0 ? "none" : change > 0 ? "up" : "down";
  }

  /** Fill the table with the stored prices, newest first, while it is open. */
  showTable() {
    if (!(/** @type {HTMLDetailsElement} */ (this.find("details")).open)) return;
    const rows = this.stored.map(({ time, text }) => [this.messages.time(time), this.messages.wholePrice(text)]);
    fillTable(this.rows, rows.reverse());
  }
}
