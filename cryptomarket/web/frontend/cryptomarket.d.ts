// What /static/cryptomarket.js gives to other pages:
//   <script type="module" src="https://gateway.example/static/cryptomarket.js"></script>
//   <crypto-price ticker="btc_usd" timer="5"></crypto-price> <crypto-chart ticker="btc_usd" hours="6"></crypto-chart>

export interface Price {
  ticker: string;
  /** The exchange's exact decimal, as text: a number would round it. */
  price: string;
  /** UNIX seconds. */
  timestamp: number;
  /** UNIX milliseconds. */
  exchange_timestamp: number;
  /** Of instruments, beside the mark price. */
  last?: number | null;
  bid?: number | null;
  ask?: number | null;
}

export type Connection =
  | { kind: "upstream"; state: "live" | "connecting" | "stale" | "down"; since: number; ages: Record<string, number> }
  | { kind: "heartbeat"; time: number; ages: Record<string, number> }
  | { kind: "gap"; from?: string; reason: "too_old" | "unknown" | "epoch" | "refused"; ticker?: string };

/** `open` while the gateway is heard; `lost` while the stream is being opened again, which never stops. */
export type Link = "opening" | "open" | "lost";

export interface StreamOptions {
  tickers: Iterable<string>;
  /** Seconds between deliveries: 0 for every tick, else 0.1 to 3600; 5 when left out. */
  timer?: number;
  /** Where the stream is; the gateway this script came from when left out. */
  url?: string | URL;
  /** Share one connection among the tabs of this browser where that is possible; true when left out. */
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
  /** Open it, or open it again; it then comes back by itself after everything but `close`. */
  open(): this;
  close(): void;
  /** Other tickers or another timer; what is left out stays. */
  follow(wanted: { tickers?: Iterable<string>; timer?: number }): this;
  /** The newest price that arrived. */
  latest(ticker: string): Price | undefined;
  addEventListener<K extends keyof StreamEvents>(
    kind: K,
    listener: (event: StreamEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(kind: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

/** `<crypto-price ticker timer>`: a price that moves, its direction, and whether to believe it. */
export class CryptoPriceElement extends HTMLElement {
  ticker: string;
  timer: number;
}

/** `<crypto-chart ticker timer hours>`: stored prices of the last hours, followed live, holes shown as holes. */
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
