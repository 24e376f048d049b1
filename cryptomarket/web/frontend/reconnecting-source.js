// One event stream that reopens itself after a restart of the gateway, a sleep of the machine, or a refusal.
// An EventSource closes for good on any status but 200, and does not notice a half-open connection; this class handles
// both. It runs in pages and in workers, so it must not use the document.

import { onNewSession } from "./browser-session.js";

/** @typedef {import("./cryptomarket.d.ts").Price} Price */

/** The gateway sends something at least every 15 s; a silence of more than twice that is a dead connection. */
const SILENCE_MS = 40_000;
/** The limit after a sleep of the machine or a change of network, when a dead connection is likely. */
const WAKE_SILENCE_MS = 20_000;
const CHECK_MS = 5_000;
const MIN_DELAY_MS = 1_000;
const MAX_DELAY_MS = 30_000;

const FIELDS = /"(\w+)":(\{[^}]*\})/g;
const NUMBER = /:(-?\d[\d.]*)/g;
const PRICE = /"price":(-?\d+(?:\.\d+)?)/;

/** Events: "price" (detail: Price), "connection" (detail: the event's data), "link" (detail: "opening", "open" or "lost"). */
export class ReconnectingSource extends EventTarget {
  /** @param {string} address of /sse/ @param {string[]} tickers @param {number} timer seconds, 0 for every tick */
  constructor(address, tickers, timer) {
    super();
    this.address = address;
    this.tickers = tickers;
    this.timer = timer;
    this.link = "opening";
    this.delay = MIN_DELAY_MS;
    this.lastEventAt = performance.now();
    /** @type {EventSource | null} */
    this.source = null;
    this.retryTimer = 0;
    this.checkTimer = 0;
    /** @type {BroadcastChannel | null} */
    this.sessions = null;
    this.loggedIn = false;
  }

  /** Open the stream, or reopen it with the present tickers and timer. */
  open() {
    this.drop();
    const address = new URL(this.address);
    address.searchParams.set("timer", String(this.timer));
    address.searchParams.set("channels", [...this.tickers, "connection"].join(","));
    const source = new EventSource(address);
    this.source = source;
    this.lastEventAt = performance.now();
    source.addEventListener("open", () => this.setLink("open"));
    source.addEventListener("error", () => this.onError(source));
    source.addEventListener("connection", (event) => this.onConnection(event.data));
    for (const ticker of this.tickers) source.addEventListener(ticker, (event) => this.onPrice(event.data));
    this.checkTimer ||= setInterval(() => this.check(SILENCE_MS), CHECK_MS);
    // Pages of another site have no session here.
    if (address.origin === location.origin) this.sessions ??= onNewSession((reason) => this.onNewSession(reason));
  }

  /** Close the stream until `open` is called. */
  close() {
    this.drop();
    clearInterval(this.checkTimer);
    this.checkTimer = 0;
    this.sessions?.close();
    this.sessions = null;
  }

  /** Follow the new cookie of this browser; the server may not have said on the old stream that the login ended. @param {string} reason */
  onNewSession(reason) {
    if (this.loggedIn) this.sendConnection({ kind: "logged_out", reason });
    this.open();
  }

  /** Check the connection after a sleep of the machine or of the page. */
  wake() {
    this.check(WAKE_SILENCE_MS);
  }

  drop() {
    clearTimeout(this.retryTimer);
    this.retryTimer = 0;
    this.source?.close();
    this.source = null;
  }

  /** Reopen the stream after a silence of that many milliseconds. @param {number} silence */
  check(silence) {
    if (this.source && performance.now() - this.lastEventAt > silence) {
      this.setLink("lost");
      this.open();
    }
  }

  /** @param {EventSource} source */
  onError(source) {
    if (source !== this.source) return;
    this.setLink("lost");
    if (source.readyState !== EventSource.CLOSED) return; // the browser reconnects by itself
    this.drop();
    // Full jitter, so that many pages do not return at the same time.
    this.retryTimer = setTimeout(() => this.open(), MIN_DELAY_MS / 2 + Math.random() * this.delay);
    this.delay = Math.min(this.delay * 2, MAX_DELAY_MS);
  }

  /** @param {string} link */
  setLink(link) {
    if (link === this.link) return;
    this.link = link;
    this.dispatchEvent(new CustomEvent("link", { detail: link }));
  }

  onEvent() {
    this.lastEventAt = performance.now();
    this.delay = MIN_DELAY_MS;
  }

  /** @param {string} data */
  onConnection(data) {
    this.onEvent();
    // Pages are identified by their cookie: they must not keep the session token, which is meant for programs.
    const { token: _, ...detail } = JSON.parse(data);
    this.sendConnection(detail);
  }

  /** @param {any} detail */
  sendConnection(detail) {
    if (detail.kind === "person") this.loggedIn = true;
    else if (detail.kind === "logged_out") this.loggedIn = false;
    this.dispatchEvent(new CustomEvent("connection", { detail }));
  }

  /** @param {string} data */
  onPrice(data) {
    this.onEvent();
    // JSON.parse rounds a price to a binary float: its exact digits, and those of fields, are taken from the text.
    const detail = { ...JSON.parse(data), price: PRICE.exec(data)?.[1] ?? "0" };
    for (const [, name = "", group = ""] of data.matchAll(FIELDS)) detail[name] = JSON.parse(group.replace(NUMBER, ':"$1"'));
    this.dispatchEvent(new CustomEvent("price", { detail }));
  }
}
