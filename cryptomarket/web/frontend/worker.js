// A SharedWorker: the tabs of one browser share a stream per timer, since a browser opens only six connections to a host.

import { SharedSource } from "./shared-source.js";

/** A tab says every 20 s that it is there; in the background browsers let it speak once a minute. */
const GONE_MS = 150_000;
const LOOK_MS = 30_000;

/** @type {Map<string, SharedSource>} */
const feeds = new Map();
/** @type {Map<MessagePort, {feed: SharedSource | null, heard: number}>} */
const tabs = new Map();

/** @param {MessagePort} port */
function leave(port) {
  const feed = tabs.get(port)?.feed;
  feed?.leave(port);
  if (feed && !feed.readers.size) for (const [key, one] of feeds) if (one === feed) feeds.delete(key);
}

/** @param {MessagePort} port @param {any} said */
function hear(port, said) {
  const tab = tabs.get(port) ?? { feed: null, heard: 0 };
  tabs.set(port, tab);
  tab.heard = performance.now();
  if (said.kind === "follow") {
    const key = `${said.address} ${said.timer}`;
    const feed = feeds.get(key) ?? new SharedSource(said.address, said.timer);
    if (tab.feed && tab.feed !== feed) leave(port);
    feeds.set(key, feed);
    tab.feed = feed;
    feed.follow(port, { tickers: said.tickers, tell: (message) => port.postMessage(message) });
  } else if (said.kind === "wake") {
    tab.feed?.feed.wake();
  } else if (said.kind === "leave") {
    leave(port);
    tab.feed = null;
  }
}

setInterval(() => {
  for (const [port, tab] of tabs) {
    if (performance.now() - tab.heard < GONE_MS) continue;
    leave(port);
    tabs.delete(port);
    port.close();
  }
}, LOOK_MS);

addEventListener("connect", (event) => {
  const port = /** @type {MessageEvent} */ (event).ports[0];
  if (!port) return;
  port.addEventListener("message", (message) => hear(port, message.data));
  port.start();
});
