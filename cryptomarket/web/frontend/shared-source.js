// One stream shared by several subscribers: it requests the union of their tickers. It must not know workers or ports.

import { ReconnectingSource } from "./reconnecting-source.js";

/** @typedef {{kind: string, detail: any}} Message */
/** @typedef {{tickers: string[], send: (message: Message) => void}} Subscriber */

export class SharedSource {
  /** @param {string} address @param {number} timer */
  constructor(address, timer) {
    this.source = new ReconnectingSource(address, [], timer);
    /** @type {Map<unknown, Subscriber>} */
    this.subscribers = new Map();
    /** The latest price of each ticker. @type {Map<string, any>} */
    this.latest = new Map();
    /** The gap of each ticker that is not delivered. @type {Map<string, any>} */
    this.gaps = new Map();
    /** The latest "upstream" event. @type {any} */
    this.upstream = null;
    /** The "person" event while this browser is logged in. @type {any} */
    this.person = null;
    this.source.addEventListener("price", (event) => this.onPrice(/** @type {CustomEvent} */ (event).detail));
    this.source.addEventListener("connection", (event) => this.onConnection(/** @type {CustomEvent} */ (event).detail));
    this.source.addEventListener("link", () => this.onLink(this.source.link));
  }

  /** Add a subscriber, or change its tickers; it receives the latest state at once. @param {unknown} key @param {Subscriber} subscriber */
  subscribe(key, subscriber) {
    const before = this.subscribers.get(key)?.tickers ?? [];
    this.subscribers.set(key, subscriber);
    subscriber.send({ kind: "link", detail: this.source.link });
    if (this.person) subscriber.send({ kind: "connection", detail: this.person });
    if (this.upstream) subscriber.send({ kind: "connection", detail: this.upstream });
    for (const ticker of subscriber.tickers) {
      if (before.includes(ticker)) continue;
      const price = this.latest.get(ticker);
      if (price) subscriber.send({ kind: "price", detail: price });
      const gap = this.gaps.get(ticker);
      if (gap) subscriber.send({ kind: "connection", detail: gap });
    }
    this.update();
  }

  /** Remove a subscriber; without any the stream is closed. @param {unknown} key */
  unsubscribe(key) {
    this.subscribers.delete(key);
    if (this.subscribers.size) this.update();
    else this.source.close();
  }

  /** Reopen the stream when the union of the tickers has changed. */
  update() {
    const tickers = [...new Set([...this.subscribers.values()].flatMap((subscriber) => subscriber.tickers))].sort();
    if (this.source.source && tickers.join() === this.source.tickers.join()) return;
    for (const ticker of this.latest.keys()) if (!tickers.includes(ticker)) this.latest.delete(ticker);
    this.gaps.clear(); // the next stream sends them again
    this.source.tickers = tickers;
    this.source.open();
  }

  /** @param {any} price */
  onPrice(price) {
    this.latest.set(price.ticker, price);
    this.gaps.delete(price.ticker);
    for (const subscriber of this.subscribers.values()) {
      if (subscriber.tickers.includes(price.ticker)) subscriber.send({ kind: "price", detail: price });
    }
  }

  /** @param {any} event */
  onConnection(event) {
    if (event.kind === "upstream") this.upstream = event;
    if (event.kind === "gap" && event.ticker) this.gaps.set(event.ticker, event);
    if (event.kind === "person") this.person = event;
    else if (event.kind === "logged_out") this.person = null;
    this.broadcast({ kind: "connection", detail: event });
  }

  /** @param {string} link */
  onLink(link) {
    if (link === "lost") this.person = null; // the next stream sends it again
    this.broadcast({ kind: "link", detail: link });
  }

  /** @param {Message} message */
  broadcast(message) {
    for (const subscriber of this.subscribers.values()) subscriber.send(message);
  }
}
