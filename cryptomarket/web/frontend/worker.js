// A SharedWorker through which all tabs of a browser share one stream per timer: a browser opens only six connections
// to a host over HTTP/1.1.

import { SharedSource } from "./shared-source.js";

/** Tabs send "here" every 20 s; browsers slow the timers of background tabs to one a minute. */
const TAB_TIMEOUT_MS = 150_000;
const CHECK_MS = 30_000;

/** By address and timer. @type {Map<string, SharedSource>} */
const sources = new Map();
/** @type {Map<MessagePort, {source: SharedSource | null, seenAt: number}>} */
const tabs = new Map();

/** @param {MessagePort} port */
function unsubscribe(port) {
  const source = tabs.get(port)?.source;
  source?.unsubscribe(port);
  if (source && !source.subscribers.size) for (const [key, one] of sources) if (one === source) sources.delete(key);
}

/** @param {MessagePort} port @param {any} message */
function receive(port, message) {
  const tab = tabs.get(port) ?? { source: null, seenAt: 0 };
  tabs.set(port, tab);
  tab.seenAt = performance.now();
  if (message.kind === "follow") {
    const key = `${message.address} ${message.timer}`;
    const source = sources.get(key) ?? new SharedSource(message.address, message.timer);
    if (tab.source && tab.source !== source) unsubscribe(port);
    sources.set(key, source);
    tab.source = source;
    source.subscribe(port, { tickers: message.tickers, send: (event) => port.postMessage(event) });
  } else if (message.kind === "wake") {
    tab.source?.source.wake();
  } else if (message.kind === "leave") {
    unsubscribe(port);
    tab.source = null;
  }
}

setInterval(() => {
  for (const [port, tab] of tabs) {
    if (performance.now() - tab.seenAt < TAB_TIMEOUT_MS) continue;
    unsubscribe(port);
    tabs.delete(port);
    port.close();
  }
}, CHECK_MS);

addEventListener("connect", (event) => {
  const port = /** @type {MessageEvent} */ (event).ports[0];
  if (!port) return;
  port.addEventListener("message", (message) => receive(port, message.data));
  port.start();
});
