// For other pages: a stream that stays open, and two elements. `cryptomarket.d.ts` beside it says what they promise.

import { CryptoChartElement, CryptoPriceElement } from "./elements.js";

export { CryptoMarketStream } from "./stream.js";
export { CryptoChartElement, CryptoPriceElement };

if (!customElements.get("crypto-price")) customElements.define("crypto-price", CryptoPriceElement);
if (!customElements.get("crypto-chart")) customElements.define("crypto-chart", CryptoChartElement);
