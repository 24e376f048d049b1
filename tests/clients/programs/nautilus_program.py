"""Print what nautilus_trader's Deribit adapter reads and receives: ``http_url ws_url key secret``."""

import asyncio
import json
import sys
from collections import Counter

from nautilus_trader.core import nautilus_pyo3 as nautilus
from nautilus_trader.model.data import capsule_to_data

NAME = "BTC-PERPETUAL.DERIBIT"
#: So many of each kind are printed, and so many are waited for, for at most so many seconds.
MOST, ENOUGH, SECONDS = 10, 3, 30.0
KINDS = ("QuoteTick", "TradeTick", "OrderBookDeltas", "MarkPriceUpdate", "IndexPriceUpdate", "FundingRateUpdate")
printed: Counter[str] = Counter()


def say(kind: str, **values: object) -> None:
    """Print a line."""
    printed[kind] += 1
    if printed[kind] <= MOST:
        print(json.dumps({"kind": kind, **values}, default=str))


def heard(message: object) -> None:
    """Print what the WebSocket client hands over."""
    data = capsule_to_data(message) if nautilus.is_pycapsule(message) else message
    kind, at = type(data).__name__, data.ts_event // 1_000_000
    if kind == "QuoteTick":
        say(kind, at=at, bid=data.bid_price, ask=data.ask_price)
    elif kind == "TradeTick":
        say(kind, at=at, price=data.price, size=data.size, id=data.trade_id)
    elif kind == "FundingRateUpdate":
        say(kind, at=at, value=data.rate)
    elif kind == "OrderBookDeltas":
        say(kind, at=at, deltas=len(data.deltas))
    else:
        say(kind, at=at, value=data.value)


async def read(client: nautilus.DeribitHttpClient, account: bool) -> list[object]:
    """Print what requests return; returns the instruments."""
    futures = nautilus.DeribitCurrency.BTC, nautilus.DeribitProductType.FUTURE
    instruments = await client.request_instruments(*futures)
    client.cache_instruments(instruments)
    perpetual = nautilus.InstrumentId.from_str(NAME)
    say("instruments", names=[str(one.id) for one in instruments])
    trades = await client.request_trades(perpetual, limit=5)
    say("trades", rows=[(str(one.trade_id), str(one.price), one.ts_event // 1_000_000) for one in trades])
    bars = await client.request_bars(nautilus.BarType.from_str(f"{NAME}-1-MINUTE-LAST-EXTERNAL"), limit=5)
    say("bars", rows=[(str(one.low), str(one.open), str(one.high)) for one in bars])
    book = await client.request_book_snapshot(perpetual, 10)
    say("book", bid=book.best_bid_price(), ask=book.best_ask_price())
    if account:
        number = nautilus.AccountId("DERIBIT-001")
        state = await client.request_account_state(number)
        say("account", balances={str(one.currency): str(one.total) for one in state.balances})
        say("orders", rows=await client.request_order_status_reports(number))
        say("fills", rows=await client.request_fill_reports(number))
    return instruments


async def main(http_url: str, ws_url: str, key: str, secret: str) -> None:
    """Request, then listen."""
    keys = {"api_key": key or None, "api_secret": secret or None}
    instruments = await read(nautilus.DeribitHttpClient(**keys, base_url=http_url), bool(key))
    client = nautilus.DeribitWebSocketClient(url=ws_url, **keys)
    await client.connect(loop_=asyncio.get_running_loop(), instruments=instruments, callback=heard)
    await client.wait_until_active(timeout_secs=10)
    interval = nautilus.DeribitUpdateInterval.MS100
    if key:
        await client.authenticate_session("nautilus")
        interval = nautilus.DeribitUpdateInterval.RAW
    perpetual = nautilus.InstrumentId.from_str(NAME)
    await client.subscribe_quotes(perpetual)
    for kind in ("trades", "book", "mark_prices", "index_prices", "perpetual_interest_rates"):
        await getattr(client, f"subscribe_{kind}")(perpetual, interval)
    for _ in range(int(SECONDS / 0.1)):
        if all(printed[kind] >= ENOUGH for kind in KINDS):
            break
        await asyncio.sleep(0.1)
    await client.close()


asyncio.run(main(*sys.argv[1:]))
