// The types of /static/cryptomarket.js, for other pages:
//   <script type="module" src="https://gateway.example/static/cryptomarket.js"></script>
//   <crypto-price ticker="btc_usd" timer="5"></crypto-price> <crypto-chart ticker="btc_usd" hours="6"></crypto-chart>

export interface Price {
  ticker: string;
  /** The exact decimal of the exchange, as text: a number would round it. */
  price: string;
  /** UNIX seconds. */
  timestamp: number;
  /** UNIX milliseconds. */
  exchange_timestamp: number;
  /** For instruments only; `price` is then the mark price. */
  last?: number | null;
  bid?: number | null;
  ask?: number | null;
  /** For instruments, of the `fields` that the stream asked for; null when the exchange does not send the group. */
  quote?: Group<"last" | "bid" | "ask" | "bid_amount" | "ask_amount"> | null;
  stats?: Group<"price_change" | "high" | "low" | "volume" | "volume_usd" | "volume_notional"> | null;
  greeks?: Group<"mark_iv" | "bid_iv" | "ask_iv" | "delta" | "gamma" | "vega" | "theta" | "rho"> | null;
  funding?: Group<"current_funding" | "funding_8h"> | null;
  interest?: Group<"open_interest" | "index_price" | "underlying_price"> | null;
}

/** Exact decimals as text, null where the exchange sends none; docs/api.md has the units. */
export type Group<Name extends string> = Record<Name, string | null>;
export type Field = "quote" | "stats" | "greeks" | "funding" | "interest";

export type Connection =
  | { kind: "upstream"; state: "live" | "connecting" | "stale" | "down"; since: number; ages: Record<string, number> }
  | { kind: "heartbeat"; time: number; ages: Record<string, number> }
  /** With `ticker`: it is not delivered, because the exchange does not have it (`refused`) or there is no room (`full`). */
  | { kind: "gap"; from?: string | null; reason: "too_old" | "unknown" | "epoch" | "refused" | "full"; ticker?: string };

/** `open` while the stream is connected; `lost` while it reconnects, which it never gives up. */
export type Link = "opening" | "open" | "lost";

export interface StreamOptions {
  tickers: Iterable<string>;
  /** Seconds between deliveries: 0 for every tick, else 0.1 to 3600; default 5. */
  timer?: number;
  /** Groups of numbers to add to the prices of instruments; none by default. */
  fields?: readonly Field[];
  /** The address of the stream; default: /sse/ of the gateway that serves this script. */
  url?: string | URL;
  /** Share one connection among the tabs of this browser where possible; default true. */
  shared?: boolean;
}

export interface StreamEvents {
  price: CustomEvent<Price>;
  connection: CustomEvent<Connection>;
  link: CustomEvent<Link>;
}

export class CryptoMarketStream extends EventTarget {
  constructor(options: StreamOptions);
  readonly tickers: string[];
  readonly timer: number;
  readonly link: Link;
  /** Open or reopen the stream; it reconnects by itself until `close`. */
  open(): this;
  close(): void;
  /** Change the tickers or the timer, and open the stream; an option left out keeps its value. */
  follow(options: { tickers?: Iterable<string>; timer?: number }): this;
  /** The latest price received. */
  latest(ticker: string): Price | undefined;
  addEventListener<K extends keyof StreamEvents>(
    kind: K,
    listener: (event: StreamEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(kind: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

/**
 * `<crypto-price ticker timer>`: a live price and its direction; it has the attribute `stale` while the price is stale,
 * and `gap` with the reason while the ticker is not delivered.
 */
export class CryptoPriceElement extends HTMLElement {
  ticker: string;
  timer: number;
}

/** `<crypto-chart ticker timer hours>`: the stored prices of the last hours, updated live, with visible gaps. */
export class CryptoChartElement extends HTMLElement {
  ticker: string;
  timer: number;
  hours: number;
}

declare global {
  interface HTMLElementTagNameMap {
    "crypto-price": CryptoPriceElement;
    "crypto-chart": CryptoChartElement;
  }
}
