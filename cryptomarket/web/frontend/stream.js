// The stream as a page uses it: shared with the other tabs by a worker where that can be, else a plain EventSource.

import { ReconnectingSource } from "./reconnecting-source.js";

const HERE_MS = 20_000;
const DEFAULT_TIMER = 5;

/** @type {{createScriptURL(url: string): any} | null} */
let policy = null;

/** A worker's address, as a page that demands Trusted Types wants it; only our own file is trusted. @param {string} url */
function trusted(url) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return url;
  policy ??= types.createPolicy("cryptomarket", {
    createScriptURL(/** @type {string} */ asked) {
      if (asked !== new URL("./worker.js", import.meta.url).href) throw new TypeError("not a worker of ours");
      return asked;
    },
  });
  return policy?.createScriptURL(url);
}

/** The worker's port, or null where there can be none: another site, an old browser, a policy that forbids it. */
function workerPort() {
  const url = new URL("./worker.js", import.meta.url);
  if (url.origin !== location.origin || !("SharedWorker" in globalThis)) return null;
  try {
    return new SharedWorker(trusted(url.href), { type: "module", name: "cryptomarket" });
  } catch {
    return null;
  }
}

/** See cryptomarket.d.ts, which says what each member promises. */
export class CryptoMarketStream extends EventTarget {
  /** @param {import("./cryptomarket.d.ts").StreamOptions} options */
  constructor({ tickers, timer = DEFAULT_TIMER, url, shared = true }) {
    super();
    this.tickers = [...tickers];
    this.timer = timer;
    this.url = new URL(url ?? "/sse/", import.meta.url).href;
    this.shared = shared;
    this.link = "opening";
    /** @type {Map<string, any>} */
    this.newest = new Map();
    /** @type {ReconnectingSource | null} */
    this.feed = null;
    /** @type {MessagePort | null} */
    this.port = null;
    this.here = 0;
    this.wake = () => (this.port ? this.port.postMessage({ kind: "wake" }) : this.feed?.wake());
    this.hide = () => this.disconnect();
    this.show = (/** @type {PageTransitionEvent} */ event) => event.persisted && this.open();
  }

  open() {
    document.addEventListener("visibilitychange", this.wake);
    addEventListener("online", this.wake);
    addEventListener("pagehide", this.hide); // a page in the browser's back-forward cache must not hold a connection
    addEventListener("pageshow", this.show);
    if (this.shared && !this.port) this.connect();
    if (this.port) {
      const { url, timer, tickers } = this;
      this.port.postMessage({ kind: "follow", address: url, timer, tickers });
    } else {
      this.openAlone();
    }
    return this;
  }

  close() {
    this.disconnect();
    document.removeEventListener("visibilitychange", this.wake);
    removeEventListener("online", this.wake);
    removeEventListener("pagehide", this.hide);
    removeEventListener("pageshow", this.show);
  }

  /** @param {{tickers?: Iterable<string>, timer?: number}} wanted */
  follow({ tickers = this.tickers, timer = this.timer }) {
    this.tickers = [...tickers];
    this.timer = timer;
    return this.open();
  }

  /** @param {string} ticker */
  latest(ticker) {
    return this.newest.get(ticker);
  }

  connect() {
    const worker = workerPort();
    if (!worker) {
      this.shared = false;
      return;
    }
    this.port = worker.port;
    this.port.addEventListener("message", (event) => this.hear(event.data.kind, event.data.detail));
    this.port.start();
    this.here = setInterval(() => this.port?.postMessage({ kind: "here" }), HERE_MS);
    // A worker that cannot be loaded says so here; then each page has a stream of its own.
    worker.addEventListener("error", () => {
      this.disconnect();
      this.shared = false;
      this.open();
    });
  }

  openAlone() {
    this.feed?.close();
    this.feed = new ReconnectingSource(this.url, this.tickers, this.timer);
    for (const kind of ["price", "connection", "link"]) {
      this.feed.addEventListener(kind, (event) => this.hear(kind, /** @type {CustomEvent} */ (event).detail));
    }
    this.feed.open();
  }

  disconnect() {
    clearInterval(this.here);
    this.port?.postMessage({ kind: "leave" });
    this.port?.close();
    this.port = null;
    this.feed?.close();
    this.feed = null;
  }

  /** @param {string} kind @param {any} detail */
  hear(kind, detail) {
    if (kind === "link") {
      if (detail === this.link) return;
      this.link = detail;
    }
    if (kind === "price") {
      if (!this.tickers.includes(detail.ticker)) return;
      this.newest.set(detail.ticker, detail);
    }
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
