// One stream of a gateway, kept open: it comes back after a restart, a sleep of the machine, or a refusal.
// An EventSource gives up for good on any answer but 200, and cannot see that a half-open connection is dead;
// both are mended here. It knows neither pages nor workers, and runs in both.

/** @typedef {import("./cryptomarket.d.ts").Price} Price */

/** The gateway says something at least every 15 s; twice that and a little is a dead connection. */
const SILENCE_MS = 40_000;
/** After a sleep of the machine less patience is needed: it is asked again at once. */
const SUSPICIOUS_MS = 20_000;
const WATCH_MS = 5_000;
const SHORTEST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

const PRICE = /"price":(-?\d+(?:\.\d+)?)/;

/**
 * Events: "price" (detail: Price), "connection" (detail: what the server said), "link" (detail: "opening", "open", "lost").
 */
export class ReconnectingSource extends EventTarget {
  /** @param {string} address of /sse/ @param {string[]} tickers @param {number} timer seconds, 0 for every tick */
  constructor(address, tickers, timer) {
    super();
    this.address = address;
    this.tickers = tickers;
    this.timer = timer;
    this.link = "opening";
    this.pause = SHORTEST_PAUSE_MS;
    this.heard = performance.now();
    /** @type {EventSource | null} */
    this.source = null;
    this.again = 0;
    this.watch = 0;
  }

  /** Open, or open again with the tickers and the timer in force. */
  open() {
    this.drop();
    const address = new URL(this.address);
    address.searchParams.set("timer", String(this.timer));
    address.searchParams.set("channels", [...this.tickers, "connection"].join(","));
    const source = new EventSource(address);
    this.source = source;
    this.heard = performance.now();
    source.addEventListener("open", () => this.tell("open"));
    source.addEventListener("error", () => this.failed(source));
    source.addEventListener("connection", (event) => this.said(event.data));
    for (const ticker of this.tickers) source.addEventListener(ticker, (event) => this.priced(event.data));
    this.watch ||= setInterval(() => this.check(SILENCE_MS), WATCH_MS);
  }

  /** Close until `open` is called. */
  close() {
    this.drop();
    clearInterval(this.watch);
    this.watch = 0;
  }

  /** The machine or the page was asleep: do not trust a long silence. */
  wake() {
    this.check(SUSPICIOUS_MS);
  }

  drop() {
    clearTimeout(this.again);
    this.again = 0;
    this.source?.close();
    this.source = null;
  }

  /** Open again when nothing was heard for that long. @param {number} milliseconds */
  check(milliseconds) {
    if (this.source && performance.now() - this.heard > milliseconds) {
      this.tell("lost");
      this.open();
    }
  }

  /** @param {EventSource} source */
  failed(source) {
    if (source !== this.source) return;
    this.tell("lost");
    if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
    this.drop();
    // Full jitter, so that all pages of a fleet do not return in step.
    this.again = setTimeout(() => this.open(), SHORTEST_PAUSE_MS / 2 + Math.random() * this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }

  /** @param {string} link */
  tell(link) {
    if (link === this.link) return;
    this.link = link;
    this.dispatchEvent(new CustomEvent("link", { detail: link }));
  }

  heardSomething() {
    this.heard = performance.now();
    this.pause = SHORTEST_PAUSE_MS;
  }

  /** @param {string} text */
  said(text) {
    this.heardSomething();
    // The token is for programs; a page is known by its cookie, and what a page does not have it cannot lose.
    const { token: _, ...detail } = JSON.parse(text);
    this.dispatchEvent(new CustomEvent("connection", { detail }));
  }

  /** @param {string} text */
  priced(text) {
    this.heardSomething();
    // JSON.parse would round the price to a binary float: it is taken as it is written.
    const price = { ...JSON.parse(text), price: PRICE.exec(text)?.[1] ?? "0" };
    this.dispatchEvent(new CustomEvent("price", { detail: price }));
  }
}
