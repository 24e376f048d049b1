// One stream for many readers, each with tickers of its own: the stream follows the union. It knows no worker and no port.

import { ReconnectingSource } from "./reconnecting-source.js";

/** @typedef {{kind: string, detail: any}} Said */
/** @typedef {{tickers: string[], tell: (said: Said) => void}} Reader */

export class SharedSource {
  /** @param {string} address @param {number} timer */
  constructor(address, timer) {
    this.feed = new ReconnectingSource(address, [], timer);
    /** @type {Map<unknown, Reader>} */
    this.readers = new Map();
    /** @type {Map<string, any>} */
    this.newest = new Map();
    /** @type {any} */
    this.upstream = null;
    /** Who is logged in, as the present stream said. @type {any} */
    this.person = null;
    this.feed.addEventListener("price", (event) => this.price(/** @type {CustomEvent} */ (event).detail));
    this.feed.addEventListener("connection", (event) => this.connection(/** @type {CustomEvent} */ (event).detail));
    this.feed.addEventListener("link", () => this.linked(this.feed.link));
  }

  /** A reader joins, or follows other tickers; it hears at once what is known. @param {unknown} key @param {Reader} reader */
  follow(key, reader) {
    const before = this.readers.get(key)?.tickers ?? [];
    this.readers.set(key, reader);
    reader.tell({ kind: "link", detail: this.feed.link });
    if (this.person) reader.tell({ kind: "connection", detail: this.person });
    if (this.upstream) reader.tell({ kind: "connection", detail: this.upstream });
    for (const ticker of reader.tickers) {
      const price = this.newest.get(ticker);
      if (price && !before.includes(ticker)) reader.tell({ kind: "price", detail: price });
    }
    this.union();
  }

  /** A reader leaves; after the last one the stream is closed. @param {unknown} key */
  leave(key) {
    this.readers.delete(key);
    if (this.readers.size) this.union();
    else this.feed.close();
  }

  union() {
    const wanted = [...new Set([...this.readers.values()].flatMap((reader) => reader.tickers))].sort();
    if (this.feed.source && wanted.join() === this.feed.tickers.join()) return;
    for (const ticker of this.newest.keys()) if (!wanted.includes(ticker)) this.newest.delete(ticker);
    this.feed.tickers = wanted;
    this.feed.open();
  }

  /** @param {any} price */
  price(price) {
    this.newest.set(price.ticker, price);
    for (const reader of this.readers.values()) {
      if (reader.tickers.includes(price.ticker)) reader.tell({ kind: "price", detail: price });
    }
  }

  /** @param {any} said */
  connection(said) {
    if (said.kind === "upstream") this.upstream = said;
    if (said.kind === "person") this.person = said;
    else if (said.kind === "logged_out") this.person = null;
    this.all({ kind: "connection", detail: said });
  }

  /** @param {string} link */
  linked(link) {
    if (link === "lost") this.person = null; // the next stream says whether anybody still is
    this.all({ kind: "link", detail: link });
  }

  /** @param {Said} said */
  all(said) {
    for (const reader of this.readers.values()) reader.tell(said);
  }
}
