"""ccxt, an independent client, works with the simulator over HTTP and WebSocket.

This tests behaviour of the exchange that clients need and that no document describes.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest

from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.tickers import ticker_of

pytestmark = pytest.mark.system

ccxt_pro = pytest.importorskip("ccxt.pro", reason="ccxt is not installed (extra: test)")


@asynccontextmanager
async def foreign_client(exchange: Exchange, **words: Any) -> AsyncIterator[Any]:
    """Run ccxt's client, changed only in the URLs of the exchange."""
    client = ccxt_pro.deribit({"enableRateLimit": False, **words})
    client.urls["api"] = {"rest": f"http://{exchange.host}:{exchange.port}", "ws": exchange.ws_url}
    try:
        yield client
    finally:
        await client.close()


async def test_ccxt_loads_the_markets() -> None:
    """ccxt finds perpetuals, a dated future, options and spot, with sizes and expiries."""
    async with running_exchange() as exchange, foreign_client(exchange) as client:
        markets = await client.load_markets()
        perpetual = markets["BTC/USD:BTC"]
        assert (perpetual["id"], perpetual["type"], perpetual["inverse"]) == ("BTC-PERPETUAL", "swap", True)
        assert perpetual["precision"]["price"] == 0.5
        kinds = {market["type"] for market in markets.values()}
        assert kinds == {"swap", "future", "option", "spot"}
        listed = exchange.state.market.instruments(exchange.state.now_ms())
        assert {market["id"] for market in markets.values()} == set(listed)
        options = [market for market in markets.values() if market["info"]["kind"] == "option"]
        assert {(market["strike"], market["expiry"]) for market in options} == {
            (found.strike, found.expires) for found in listed.values() if found.kind == "option"
        }


async def test_ccxt_fetches_tickers_books_trades_and_bars() -> None:
    """The values that ccxt reads over HTTP agree with the market."""
    async with running_exchange() as exchange, foreign_client(exchange) as client:
        ticker = await client.fetch_ticker("BTC/USD:BTC")
        index = exchange.state.market.index_price("btc_usd", exchange.state.now_ms())
        assert abs(ticker["last"] / index - 1) < 0.01
        assert ticker["bid"] < ticker["ask"]
        assert ticker["info"]["instrument_name"] == "BTC-PERPETUAL"
        tickers = await client.fetch_tickers(params={"code": "BTC"})
        assert "BTC/USD:BTC" in tickers
        book = await client.fetch_order_book("BTC/USD:BTC")
        assert book["bids"][0][0] < book["asks"][0][0]
        trades = await client.fetch_trades("BTC/USD:BTC", limit=5)
        assert [trade["timestamp"] for trade in trades] == sorted(trade["timestamp"] for trade in trades)
        bars = await client.fetch_ohlcv("BTC/USD:BTC", "1m", limit=10)
        assert bars
        assert all(bar[3] <= bar[1] <= bar[2] for bar in bars)


async def test_ccxt_watches_a_ticker() -> None:
    """ccxt shows the values that the exchange sent, in their order."""
    async with running_exchange(time_scale=5) as exchange, foreign_client(exchange) as client:
        with anyio.fail_after(60):
            seen = [await client.watch_ticker("BTC/USD:BTC") for _ in range(10)]
        market = exchange.state.market
        perpetual = market.instruments(exchange.state.now_ms())["BTC-PERPETUAL"]
        stamps = [ticker["timestamp"] for ticker in seen]
        # Timestamps are no sequence: as recorded, some step back by 136 ms, and none by more.
        assert all(later > earlier - 137 for earlier, later in pairwise(stamps))
        assert len(set(stamps)) > 5
        for ticker in seen:
            sent = [ticker_of(market, perpetual, ticker["timestamp"] + late) for late in (0, 136)]
            assert float(ticker["info"]["mark_price"]) in [one["mark_price"] for one in sent]
        assert exchange.opened_sessions[0].methods() == ["public/subscribe"]


async def test_ccxt_keeps_an_order_book() -> None:
    """ccxt builds an uncrossed order book from the snapshot and the changes."""
    async with running_exchange(time_scale=5) as exchange, foreign_client(exchange) as client:
        with anyio.fail_after(60):
            books = [await client.watch_order_book("BTC/USD:BTC") for _ in range(10)]
        assert all(book["bids"][0][0] < book["asks"][0][0] for book in books)


async def test_ccxt_logs_in_by_signature() -> None:
    """The exchange accepts ccxt's client_signature, then a raw channel, and returns the account's balance."""
    keys = {"apiKey": "demo", "secret": "demo-secret"}
    async with running_exchange() as exchange, foreign_client(exchange, **keys) as client:
        with anyio.fail_after(60):
            ticker = await client.watch_ticker("BTC/USD:BTC", {"interval": "raw"})
            assert ticker["symbol"] == "BTC/USD:BTC"
            balance = await client.fetch_balance({"code": "BTC"})
        assert balance["BTC"]["total"] == 10.0
        assert exchange.opened_sessions[0].methods()[:2] == ["public/auth", "public/subscribe"]


async def test_ccxt_is_refused_with_a_wrong_secret() -> None:
    """ccxt raises AuthenticationError for the refusal."""
    keys = {"apiKey": "demo", "secret": "wrong"}
    async with running_exchange() as exchange, foreign_client(exchange, **keys) as client:
        await client.load_markets()
        with pytest.raises(ccxt_pro.AuthenticationError):
            await client.fetch_balance({"code": "BTC"})
