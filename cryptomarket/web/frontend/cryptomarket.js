// The public script for other pages: a reconnecting stream and two elements, documented in cryptomarket.d.ts.

import { CryptoChartElement, CryptoPriceElement } from "./elements.js";

export { CryptoMarketStream } from "./stream.js";
export { CryptoChartElement, CryptoPriceElement };

if (!customElements.get("crypto-price")) customElements.define("crypto-price", CryptoPriceElement);
if (!customElements.get("crypto-chart")) customElements.define("crypto-chart", CryptoChartElement);
