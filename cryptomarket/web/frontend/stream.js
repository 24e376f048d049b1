// The stream as pages use it: shared with the other tabs through a worker where possible, else an EventSource of its own.

import { ReconnectingSource } from "./reconnecting-source.js";

const ALIVE_MS = 20_000;
const DEFAULT_TIMER = 5;

/** @type {{createScriptURL(url: string): any} | null} */
let policy = null;

/** The address of our worker as a trusted script URL, for pages that require Trusted Types. @param {string} url */
function trusted(url) {
  const types = /** @type {any} */ (globalThis).trustedTypes;
  if (!types) return url;
  policy ??= types.createPolicy("cryptomarket", {
    createScriptURL(/** @type {string} */ requested) {
      if (requested !== new URL("./worker.js", import.meta.url).href) throw new TypeError("not the worker of cryptomarket");
      return requested;
    },
  });
  return policy?.createScriptURL(url);
}

/** The worker, or null where none is possible: on another origin, in an old browser, or under a policy that forbids it. */
function startWorker() {
  const url = new URL("./worker.js", import.meta.url);
  if (url.origin !== location.origin || !("SharedWorker" in globalThis)) return null;
  try {
    return new SharedWorker(trusted(url.href), { type: "module", name: "cryptomarket" });
  } catch {
    return null;
  }
}

/** Documented in cryptomarket.d.ts. */
export class CryptoMarketStream extends EventTarget {
  /** @param {import("./cryptomarket.d.ts").StreamOptions} options */
  constructor({ tickers, timer = DEFAULT_TIMER, fields = [], url, shared = true }) {
    super();
    this.tickers = [...tickers];
    this.timer = timer;
    const address = new URL(url ?? "/sse/", import.meta.url);
    // A part of the address, by which tabs share a stream; sorted, so that they do whatever the order.
    if (fields.length) address.searchParams.set("fields", [...fields].sort().join(","));
    this.url = address.href;
    this.shared = shared;
    this.link = "opening";
    /** @type {Map<string, any>} */
    this.prices = new Map();
    /** @type {ReconnectingSource | null} */
    this.source = null;
    /** @type {MessagePort | null} */
    this.port = null;
    this.aliveTimer = 0;
    this.onWake = () => (this.port ? this.port.postMessage({ kind: "wake" }) : this.source?.wake());
    this.onPageHide = () => this.disconnect();
    this.onPageShow = (/** @type {PageTransitionEvent} */ event) => event.persisted && this.open();
  }

  open() {
    document.addEventListener("visibilitychange", this.onWake);
    addEventListener("online", this.onWake);
    addEventListener("pagehide", this.onPageHide); // a page in the back-forward cache must not hold a connection
    addEventListener("pageshow", this.onPageShow);
    if (this.shared && !this.port) this.connectWorker();
    if (this.port) {
      const { url, timer, tickers } = this;
      this.port.postMessage({ kind: "follow", address: url, timer, tickers });
    } else {
      this.openOwnSource();
    }
    return this;
  }

  close() {
    this.disconnect();
    document.removeEventListener("visibilitychange", this.onWake);
    removeEventListener("online", this.onWake);
    removeEventListener("pagehide", this.onPageHide);
    removeEventListener("pageshow", this.onPageShow);
  }

  /** @param {{tickers?: Iterable<string>, timer?: number}} options */
  follow({ tickers = this.tickers, timer = this.timer }) {
    this.tickers = [...tickers];
    this.timer = timer;
    return this.open();
  }

  /** @param {string} ticker */
  latest(ticker) {
    return this.prices.get(ticker);
  }

  connectWorker() {
    const worker = startWorker();
    if (!worker) {
      this.shared = false;
      return;
    }
    this.port = worker.port;
    this.port.addEventListener("message", (event) => this.receive(event.data.kind, event.data.detail));
    this.port.start();
    this.aliveTimer = setInterval(() => this.port?.postMessage({ kind: "here" }), ALIVE_MS);
    // When the worker cannot be loaded, each page opens a stream of its own.
    worker.addEventListener("error", () => {
      this.disconnect();
      this.shared = false;
      this.open();
    });
  }

  openOwnSource() {
    this.source?.close();
    this.source = new ReconnectingSource(this.url, this.tickers, this.timer);
    for (const kind of ["price", "connection", "link"]) {
      this.source.addEventListener(kind, (event) => this.receive(kind, /** @type {CustomEvent} */ (event).detail));
    }
    this.source.open();
  }

  disconnect() {
    clearInterval(this.aliveTimer);
    this.port?.postMessage({ kind: "leave" });
    this.port?.close();
    this.port = null;
    this.source?.close();
    this.source = null;
  }

  /** @param {string} kind @param {any} detail */
  receive(kind, detail) {
    if (kind === "link") {
      if (detail === this.link) return;
      this.link = detail;
    }
    if (kind === "price") {
      if (!this.tickers.includes(detail.ticker)) return;
      this.prices.set(detail.ticker, detail);
    }
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
