// <crypto-price> and <crypto-chart>, elements for any page of an allowed origin. All elements with one timer share a stream.

import { getSlots } from "./api.js";
import { Messages } from "./i18n.js";
import { drawSparkline } from "./sparkline.js";
import { CryptoMarketStream } from "./stream.js";

/** @typedef {import("./cryptomarket.d.ts").Price} Price */

/** While the upstream is not live, a ticker with a tick younger than this still counts as fresh. */
const FRESH_MS = 3000;
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
  svg { display: block; width: 100%; height: var(--crypto-height, 8rem); overflow: visible; }
  .line { fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
  .area { fill: currentColor; opacity: 0.1; }
  .newest { stroke: currentColor; stroke-width: 8; stroke-linecap: round; vector-effect: non-scaling-stroke; }
  .floor { stroke: currentColor; opacity: 0.3; vector-effect: non-scaling-stroke; }
  .caption { display: flex; justify-content: space-between; font-size: 0.8em; }
`);

/** The elements of the page with one timer, and their stream. */
class Group {
  /** @param {number} timer */
  constructor(timer) {
    /** @type {Set<PriceElement>} */
    this.members = new Set();
    this.stream = new CryptoMarketStream({ tickers: [], timer });
    this.upstream = "opening";
    this.updating = false;
    /** The tickers of the stream, joined; empty while it is closed. */
    this.followed = "";
    this.stream.addEventListener("price", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      for (const member of this.members) {
        if (member.ticker !== detail.ticker) continue;
        member.removeAttribute("gap");
        member.show(detail);
      }
    });
    this.stream.addEventListener("connection", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      if (detail.kind === "upstream") this.upstream = detail.state;
      if (detail.kind === "gap" && detail.ticker) {
        for (const member of this.members) if (member.ticker === detail.ticker) member.setAttribute("gap", detail.reason);
      }
      for (const member of this.members) member.updateStale(detail.ages?.[member.ticker]);
    });
    this.stream.addEventListener("link", () => this.members.forEach((member) => member.updateStale()));
  }

  get fresh() {
    return this.stream.link !== "lost" && (this.upstream === "live" || this.upstream === "opening");
  }

  /** Follow the members' tickers; once for all elements that are added or removed together. */
  update() {
    if (this.updating) return;
    this.updating = true;
    queueMicrotask(() => {
      this.updating = false;
      const tickers = [...new Set([...this.members].map((member) => member.ticker))].filter(Boolean).sort();
      if (tickers.join() === this.followed) return;
      this.followed = tickers.join();
      if (tickers.length) this.stream.follow({ tickers });
      else this.stream.close();
    });
  }
}

/** By timer. @type {Map<number, Group>} */
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
    group.update();
    this.group = group;
    this.removeAttribute("gap");
    this.render();
  }

  disconnectedCallback() {
    this.group?.members.delete(this);
    this.group?.update();
    this.group = null;
  }

  attributeChangedCallback() {
    if (!this.group) return;
    this.disconnectedCallback();
    this.connectedCallback();
  }

  /** @param {number} [age] milliseconds since the gateway received a tick of the ticker, if known */
  updateStale(age) {
    const fresh = this.group?.fresh ?? true;
    this.toggleAttribute("stale", !fresh && (age === undefined || age > FRESH_MS));
  }

  /** Build the content, for the first time or after a change of attributes. */
  render() {}

  /** @param {Price} _price */
  show(_price) {}
}

export class CryptoPriceElement extends PriceElement {
  number = span("number", "—");
  move = span("move", "");
  previous = NaN;

  render() {
    this.number.textContent = "—";
    this.move.textContent = "";
    this.previous = NaN;
    const line = span("price", "");
    line.append(this.number, " ", this.move);
    this.shadow.replaceChildren(line);
  }

  /** @param {Price} price */
  show(price) {
    const value = Number(price.price);
    this.number.textContent = this.messages.wholePrice(price.price);
    const kind = value > this.previous ? "up" : value < this.previous ? "down" : "none";
    this.move.dataset.move = kind;
    this.move.textContent = { up: "▲", down: "▼", none: "" }[kind];
    this.previous = value;
    this.removeAttribute("stale");
  }
}

export class CryptoChartElement extends PriceElement {
  svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  labels = [span("from", ""), span("extent", ""), span("to", "")];
  /** @type {import("./sparkline.js").Point[]} */
  points = [];
  drawnAt = 0;

  get hours() {
    return Number(this.getAttribute("hours") ?? 1);
  }

  set hours(value) {
    this.setAttribute("hours", String(value));
  }

  render() {
    this.svg.setAttribute("viewBox", "0 0 600 120");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.svg.replaceChildren();
    for (const label of this.labels) label.textContent = "";
    const caption = span("caption", "");
    caption.append(...this.labels);
    this.shadow.replaceChildren(this.svg, caption);
    this.points = [];
    this.drawnAt = 0;
    this.load();
  }

  async load() {
    const { ticker } = this;
    try {
      const start = Math.floor(Date.now() / 1000 - this.hours * HOUR);
      const { slots } = await getSlots({ ticker, start, limit: 10_000 });
      if (ticker !== this.ticker) return;
      const stored = slots.map(({ time, tickTime = time, value }) => ({ time: tickTime, price: value }));
      const newest = stored.at(-1)?.time ?? 0;
      this.points = [...stored, ...this.points.filter((point) => point.time > newest)];
      this.draw();
    } catch {
      // Without history the chart starts with the prices of the stream.
    }
  }

  /** @param {Price} price */
  show(price) {
    this.removeAttribute("stale");
    this.points.push({ time: price.exchange_timestamp / 1000, price: Number(price.price) });
    if (performance.now() - this.drawnAt > REDRAW_MS) this.draw();
  }

  draw() {
    const now = Math.max(Date.now() / 1000, this.points.at(-1)?.time ?? 0);
    const start = now - this.hours * HOUR;
    this.points = this.points.filter((point) => point.time > start);
    this.drawnAt = performance.now();
    if (this.points.length < 2) return;
    const { low, high } = drawSparkline(this.svg, this.points, start, now, usualStep(this.points));
    const format = (/** @type {number} */ price) => this.messages.wholePrice(String(price));
    const texts = [this.messages.time(start), `${format(low)} – ${format(high)}`, this.messages.time(now)];
    this.labels.forEach((label, i) => (label.textContent = texts[i] ?? ""));
    this.svg.setAttribute("aria-label", `${this.ticker}: ${texts.join(", ")}`);
  }
}

/** The 90th percentile of the pauses between points, at least a minute; a much longer pause is a gap. @param {{time: number}[]} points */
function usualStep(points) {
  const pauses = points.slice(1).map((point, i) => point.time - (points[i]?.time ?? 0));
  pauses.sort((one, other) => one - other);
  return Math.max(pauses[Math.floor(pauses.length * 0.9)] ?? 60, 60);
}

/** @param {string} name class and part @param {string} text */
function span(name, text) {
  const element = document.createElement("span");
  element.className = name;
  element.part.add(name);
  element.textContent = text;
  return element;
}
