// <crypto-price> and <crypto-chart>: elements for any page of an allowed origin; all with one timer share one stream.

import { prices } from "./api.js";
import { drawSparkline, priceRange } from "./sparkline.js";
import { CryptoMarketStream } from "./stream.js";
import { Messages } from "./i18n.js";

/** @typedef {import("./cryptomarket.d.ts").Price} Price */

const STALE_MS = 3000;
const REDRAW_MS = 900;
const HOUR = 3600;

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
  :host { display: inline-block; font-variant-numeric: tabular-nums; --up: light-dark(#0b6b45, #5fce9c); --down: light-dark(#b02a24, #ff9387); }
  :host([hidden]) { display: none; }
  :host(crypto-chart) { display: block; }
  .price { white-space: nowrap; }
  .move[data-move="up"] { color: var(--crypto-up, var(--up)); }
  .move[data-move="down"] { color: var(--crypto-down, var(--down)); }
  :host([stale]) { opacity: 0.6; }
  .stale { font-size: 0.8em; }
  svg { display: block; width: 100%; height: var(--crypto-height, 8rem); overflow: visible; }
  .line { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
  .area { fill: currentColor; opacity: 0.1; }
  .newest { stroke: currentColor; stroke-width: 8; stroke-linecap: round; vector-effect: non-scaling-stroke; }
  .floor { stroke: currentColor; opacity: 0.3; vector-effect: non-scaling-stroke; }
  .caption { display: flex; justify-content: space-between; font-size: 0.8em; }
`);

/* One stream a timer for all elements of the page. */

/** @typedef {PriceElement} Member */

class Group {
  /** @param {number} timer */
  constructor(timer) {
    /** @type {Set<Member>} */
    this.members = new Set();
    this.stream = new CryptoMarketStream({ tickers: [], timer });
    this.upstream = "opening";
    this.planned = false;
    /** The tickers the stream was opened for, empty while it is closed. */
    this.followed = "";
    this.stream.addEventListener("price", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      for (const member of this.members) if (member.ticker === detail.ticker) member.price(detail);
    });
    this.stream.addEventListener("connection", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      if (detail.kind === "upstream") this.upstream = detail.state;
      for (const member of this.members) member.heard(detail.ages?.[member.ticker]);
    });
    this.stream.addEventListener("link", () => this.members.forEach((member) => member.heard(undefined)));
  }

  get fresh() {
    return this.stream.link !== "lost" && (this.upstream === "live" || this.upstream === "opening");
  }

  /** Elements come and go in one breath: the stream is opened once for all of them. */
  plan() {
    if (this.planned) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      const tickers = [...new Set([...this.members].map((member) => member.ticker))].filter(Boolean).sort();
      if (tickers.join() === this.followed) return;
      this.followed = tickers.join();
      if (tickers.length) this.stream.follow({ tickers });
      else this.stream.close();
    });
  }
}

/** @type {Map<number, Group>} */
const groups = new Map();

class PriceElement extends HTMLElement {
  static observedAttributes = ["ticker", "timer", "hours"];

  constructor() {
    super();
    /** @type {Group | null} */
    this.group = null;
    this.shadow = this.attachShadow({ mode: "open" });
    this.shadow.adoptedStyleSheets = [sheet];
    this.messages = new Messages({}, document.documentElement.lang || "en");
  }

  get ticker() {
    return this.getAttribute("ticker") ?? "";
  }

  set ticker(value) {
    this.setAttribute("ticker", value);
  }

  get timer() {
    return Number(this.getAttribute("timer") ?? 5);
  }

  set timer(value) {
    this.setAttribute("timer", String(value));
  }

  connectedCallback() {
    const group = groups.get(this.timer) ?? new Group(this.timer);
    groups.set(this.timer, group);
    group.members.add(this);
    group.plan();
    this.group = group;
    this.begin();
  }

  disconnectedCallback() {
    this.group?.members.delete(this);
    this.group?.plan();
    this.group = null;
  }

  attributeChangedCallback() {
    if (!this.group) return;
    this.disconnectedCallback();
    this.connectedCallback();
  }

  /** Something was heard of the ticker so many milliseconds ago, or the state changed. @param {number} [age] */
  heard(age) {
    const fresh = this.group?.fresh ?? true;
    this.toggleAttribute("stale", !fresh && (age === undefined || age > STALE_MS));
  }

  /** Shown for the first time, or with another ticker. */
  begin() {}

  /** @param {Price} _price */
  price(_price) {}
}

export class CryptoPriceElement extends PriceElement {
  former = NaN;

  begin() {
    this.number = span("number", "—");
    this.move = span("move", "");
    const line = span("price", "");
    line.append(this.number, " ", this.move);
    this.shadow.replaceChildren(line);
    this.former = NaN;
  }

  /** @param {Price} price */
  price(price) {
    const value = Number(price.price);
    const { number, move } = this;
    if (!number || !move) return;
    number.textContent = this.messages.wholePrice(price.price);
    const kind = value > this.former ? "up" : value < this.former ? "down" : "none";
    move.dataset.move = kind;
    move.textContent = { up: "▲", down: "▼", none: "" }[kind];
    this.former = value;
    this.removeAttribute("stale");
  }
}

export class CryptoChartElement extends PriceElement {
  get hours() {
    return Number(this.getAttribute("hours") ?? 1);
  }

  set hours(value) {
    this.setAttribute("hours", String(value));
  }

  begin() {
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.svg.setAttribute("viewBox", "0 0 600 120");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    const caption = span("caption", "");
    this.labels = [span("from", ""), span("extent", ""), span("to", "")];
    caption.append(...this.labels);
    this.shadow.replaceChildren(this.svg, caption);
    /** @type {import("./sparkline.js").Point[]} */
    this.points = [];
    this.drawnAt = 0;
    this.load();
  }

  async load() {
    const { ticker } = this;
    try {
      const start = Math.floor(Date.now() / 1000 - this.hours * HOUR);
      const { slots } = await prices({ ticker, start, limit: 10_000 });
      if (ticker !== this.ticker) return;
      const stored = slots.map((slot) => ({ time: slot.exact_time, price: slot.value }));
      const newest = stored.at(-1)?.time ?? 0;
      this.points = [...stored, ...(this.points ?? []).filter((point) => point.time > newest)];
      this.draw();
    } catch {
      // The stream draws from now on.
    }
  }

  /** @param {Price} price */
  price(price) {
    this.removeAttribute("stale");
    this.points?.push({ time: price.exchange_timestamp / 1000, price: Number(price.price) });
    if (performance.now() - (this.drawnAt ?? 0) > REDRAW_MS) this.draw();
  }

  draw() {
    const { svg, labels } = this;
    const now = Math.max(Date.now() / 1000, this.points?.at(-1)?.time ?? 0);
    const points = (this.points ?? []).filter((point) => point.time > now - this.hours * HOUR);
    this.points = points;
    this.drawnAt = performance.now();
    if (!svg || !labels || points.length < 2) return;
    drawSparkline(svg, points, now - this.hours * HOUR, now, usualStep(points));
    const { low, high } = priceRange(points);
    const price = (/** @type {number} */ price) => this.messages.wholePrice(String(price));
    const texts = [this.messages.time(now - this.hours * HOUR), `${price(low)} – ${price(high)}`, this.messages.time(now)];
    labels.forEach((label, i) => (label.textContent = texts[i] ?? ""));
    svg.setAttribute("aria-label", `${this.ticker}: ${texts.join(", ")}`);
  }
}

/** What mostly lies between two points; a longer pause is a hole. @param {{time: number}[]} points */
function usualStep(points) {
  const pauses = points.slice(1).map((point, i) => point.time - (points[i]?.time ?? 0));
  pauses.sort((one, other) => one - other);
  return Math.max(pauses[Math.floor(pauses.length * 0.9)] ?? 60, 60);
}

/** @param {string} name @param {string} text */
function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.part.add(name);
  made.textContent = text;
  return made;
}
