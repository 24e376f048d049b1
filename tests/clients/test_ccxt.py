"""ccxt 4.5 and ccxt.pro: `deribit`, and `coinbaseinternational`, which speaks to the doors of Coinbase."""

import base64
import json
import time
from itertools import pairwise
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT, SimulatedAccount
from cryptomarket.simulator.balances import portfolio
from cryptomarket.simulator.coinbase_keys import new_key_pair
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.tickers import ticker_of
from cryptomarket.simulator.trades import book, trade

from .environments import run_client

pytestmark = pytest.mark.system

INVERSE, LINEAR = "BTC/USD:BTC", "BTC/USDC:USDC"
HOUR_MS = 3_600_000
Call = tuple[str, dict[str, Any]] | tuple[str, dict[str, Any], int]


def deribit_urls(exchange: Exchange) -> dict[str, str]:
    """The addresses of `deribit`, to which it appends the path of HTTP."""
    return {"rest": exchange.http_url.removesuffix("/api/v2"), "ws": exchange.ws_url}


async def ccxt(
    exchange: str,
    urls: dict[str, str],
    calls: list[Call],
    *,
    keys: tuple[str, str] = ("", ""),
    watched: list[Call] | None = None,
) -> dict[str, list[Any]]:
    """What the methods returned, or the names of their errors, by method."""
    said = await run_client("ccxt", exchange, json.dumps(urls), *keys, json.dumps(calls), json.dumps(watched or []))
    found: dict[str, list[Any]] = {}
    for line in said:
        found.setdefault(line["method"], []).append(line.get("result", line.get("error")))
    return found


def shown(exchange: Exchange, name: str, at: int) -> list[dict[str, Any]]:
    """The tickers of an instrument under a timestamp: as recorded, some timestamps step back by 136 ms."""
    market = exchange.state.market
    found = market.instruments(exchange.state.now_ms())[name]
    return [ticker_of(market, found, at + late) for late in (0, 136)]


def assert_books(exchange: Exchange, name: str, books: list[dict[str, Any]]) -> None:
    """The books, which are built from changes, are those of the market."""
    market = exchange.state.market
    found = market.instruments(exchange.state.now_ms())[name]
    assert len(books) == 10
    for one in books:
        sides = tuple([level[:2] for level in one[side]] for side in ("bids", "asks"))
        assert sides == book(market, found, one["timestamp"])


async def test_ccxt_reads_the_market() -> None:
    """Over HTTP: every listed instrument with strike and expiry, then ticker, book, trades, bars and funding."""
    now = float(int(time.time()))
    of_one = {"symbol": INVERSE}
    calls: list[Call] = [
        ("load_markets", {}),
        *((name, of_one) for name in ("fetch_ticker", "fetch_order_book", "fetch_funding_rate")),
        ("fetch_tickers", {"params": {"code": "BTC"}}),
        ("fetch_trades", of_one | {"limit": 5}),
        ("fetch_ohlcv", of_one | {"limit": 10}),
        ("fetch_funding_rate_history", of_one | {"since": int(now * 1000) - 8 * HOUR_MS}),
    ]
    async with running_exchange(wall=lambda: now) as exchange:
        market, now_ms = exchange.state.market, exchange.state.now_ms()
        said = {name: value for name, (value,) in (await ccxt("deribit", deribit_urls(exchange), calls)).items()}
        markets, listed = said["load_markets"], market.instruments(now_ms)
        assert {one["id"] for one in markets.values()} == set(listed)
        options = [one for one in markets.values() if one["info"]["kind"] == "option"]
        assert {(one["strike"], one["expiry"]) for one in options} == {
            (found.strike, found.expires) for found in listed.values() if found.kind == "option"
        }
        perpetual = listed["BTC-PERPETUAL"]
        assert (markets[INVERSE]["type"], markets[INVERSE]["inverse"]) == ("swap", True)
        assert markets[INVERSE]["precision"]["price"] == perpetual.tick_size
        ticker = ticker_of(market, perpetual, now_ms)
        prices = ticker["best_bid_price"], ticker["best_ask_price"], ticker["last_price"]
        assert tuple(said["fetch_ticker"][name] for name in ("bid", "ask", "last")) == prices
        assert INVERSE in said["fetch_tickers"]
        levels = said["fetch_order_book"]
        assert (levels["bids"], levels["asks"]) == book(market, perpetual, market.moment(perpetual.name, now_ms), 5)
        for row in said["fetch_trades"]:
            assert row["info"] == trade(market, perpetual, row["timestamp"])
        assert all(bar[3] <= bar[1] <= bar[2] for bar in said["fetch_ohlcv"])
        assert len(said["fetch_funding_rate_history"]) >= 7
        assert isinstance(said["fetch_funding_rate"]["fundingRate"], float)


async def test_ccxt_watches_prices() -> None:
    """Over WebSocket without a key: tickers in the order that they were sent, and a book that is built from changes."""
    async with running_exchange(time_scale=5) as exchange:
        of_one = {"symbol": INVERSE}
        calls: list[Call] = [("watch_ticker", of_one, 10), ("watch_order_book", of_one, 10), ("watch_trades", of_one)]
        said = await ccxt("deribit", deribit_urls(exchange), calls)
        stamps = [ticker["timestamp"] for ticker in said["watch_ticker"]]
        assert all(later > earlier - 137 for earlier, later in pairwise(stamps))
        assert len(set(stamps)) > 5
        for ticker in said["watch_ticker"]:
            marks = [one["mark_price"] for one in shown(exchange, "BTC-PERPETUAL", ticker["timestamp"])]
            assert ticker["info"]["mark_price"] in marks
        assert_books(exchange, "BTC-PERPETUAL", said["watch_order_book"])
        perpetual = exchange.state.market.instruments(exchange.state.now_ms())["BTC-PERPETUAL"]
        for row in said["watch_trades"][0]:
            assert row["info"] == trade(exchange.state.market, perpetual, row["timestamp"])
        assert exchange.opened_sessions[0].methods() == ["public/subscribe"] * 3


async def test_ccxt_logs_in_by_signature() -> None:
    """A raw channel proves the log-in over WebSocket, figures of the account that over HTTP; orders and fills speak."""
    account = DEFAULT_ACCOUNT
    of_one = {"symbol": INVERSE}
    calls: list[Call] = [
        ("watch_ticker", of_one | {"params": {"interval": "raw"}}),
        ("fetch_balance", {"params": {"code": "BTC"}}),
        ("fetch_deposits", {"code": "BTC"}),
        ("fetch_positions", {}),
        *((name, of_one) for name in ("fetch_position", "fetch_open_orders", "fetch_my_trades")),
        ("create_order", of_one | {"type": "market", "side": "buy", "amount": 10}),
    ]
    watched: list[Call] = [("watch_orders", {}), ("watch_my_trades", {}), ("watch_balance", {})]
    async with running_exchange() as exchange:
        keys = account.client_id, account.client_secret
        said = await ccxt("deribit", deribit_urls(exchange), calls, keys=keys, watched=watched)
        assert said["watch_ticker"][0]["symbol"] == INVERSE
        assert said["fetch_balance"][0]["BTC"]["total"] == 10.0
        assert [row["amount"] for row in said["fetch_deposits"][0]] == [10.0]
        assert len(said["fetch_positions"][0]) == 2
        assert said["fetch_position"][0]["info"]["direction"] == "zero"
        assert (said["fetch_open_orders"], said["fetch_my_trades"]) == ([[]], [[]])
        fills = [fill.row for fill in exchange.state.orders.fills[account.client_id]]
        assert all(row["info"] in fills for row in said["watch_my_trades"][0])
        assert said["watch_orders"][0][0]["info"]["order_state"] == "filled"
        balance = said["watch_balance"][0]["info"]
        assert balance == portfolio(account, balance["currency"])
        assert "public/auth" in exchange.opened_sessions[0].methods()


async def test_ccxt_is_refused_with_a_wrong_secret() -> None:
    """It raises AuthenticationError for the refusal."""
    calls: list[Call] = [("fetch_balance", {"params": {"code": "BTC"}})]
    async with running_exchange() as exchange:
        said = await ccxt("deribit", deribit_urls(exchange), calls, keys=(DEFAULT_ACCOUNT.client_id, "wrong"))
        assert said == {"fetch_balance": ["AuthenticationError"]}


async def test_ccxt_reads_and_watches_at_coinbase() -> None:
    """Without a key: requests at the main door, channels at the streams door."""
    of_one = {"symbol": LINEAR}
    plain = ("fetch_ticker", "fetch_order_book", "fetch_ohlcv", "fetch_funding_rate_history")
    streamed = ("watch_trades", "watch_ohlcv", "watch_funding_rate", "watch_mark_price")
    calls: list[Call] = [
        ("load_markets", {}),
        *((name, of_one) for name in (*plain, *streamed)),
        ("watch_ticker", of_one, 10),
        ("watch_order_book", of_one, 10),
        ("watch_bids_asks", {"symbols": [LINEAR]}),
    ]
    async with (
        running_exchange(door="coinbase-main") as main,
        running_exchange(door="coinbase-streams", time_scale=5) as streams,
    ):
        said = await ccxt("coinbaseinternational", {"rest": main.http_url, "ws": streams.ws_url}, calls)
        listed = main.state.market.instruments(main.state.now_ms())
        assert {one["id"] for one in said["load_markets"][0].values()} == set(listed)
        fetched = said["fetch_ticker"][0]
        assert fetched["info"] in shown(main, "BTC_USDC-PERPETUAL", fetched["timestamp"])
        for ticker in said["watch_ticker"]:
            assert ticker["info"] in shown(streams, "BTC_USDC-PERPETUAL", ticker["timestamp"])
        assert_books(streams, "BTC_USDC-PERPETUAL", said["watch_order_book"])
        for row in said["watch_trades"][0]:
            assert row["info"] == trade(streams.state.market, listed["BTC_USDC-PERPETUAL"], row["timestamp"])
        quoted = said["watch_bids_asks"][0][LINEAR]
        tickers = shown(streams, "BTC_USDC-PERPETUAL", quoted["timestamp"])
        assert (quoted["bid"], quoted["ask"]) in [(one["best_bid_price"], one["best_ask_price"]) for one in tickers]
        assert {method for session in streams.opened_sessions for method in session.methods()} == {"public/subscribe"}


async def test_ccxt_logs_in_with_a_cdp_key_at_coinbase() -> None:
    """Over WebSocket it reads the account and hears of its own order; its log-in over HTTP fails in its own code."""
    pair = new_key_pair()
    private = serialization.load_pem_private_key(pair.private.encode(), None)
    assert isinstance(private, Ed25519PrivateKey)
    secret = base64.b64encode(private.private_bytes_raw() + private.public_key().public_bytes_raw()).decode()
    account = SimulatedAccount("organizations/a/apiKeys/b", public_key=pair.public)
    of_one = {"symbol": LINEAR}
    order = of_one | {"type": "market", "side": "buy", "amount": 0.01}
    calls: list[Call] = [
        ("load_markets", {}),
        ("fetch_balance", {}),
        ("fetch_balance_ws", {}),
        ("create_order_ws", order),
    ]
    watched: list[Call] = [(name, {}) for name in ("watch_orders", "watch_balance", "watch_positions")]
    async with running_exchange(door="coinbase-main", accounts=[account]) as exchange:
        urls = {"rest": exchange.http_url, "ws": exchange.ws_url, "wsPrivate": exchange.ws_url}
        watched.append(("watch_my_trades", of_one))
        said = await ccxt("coinbaseinternational", urls, calls, keys=(account.client_id, secret), watched=watched)
        assert said["fetch_balance"] == ["TypeError"]  # 4.5.90 adds no headers to None
        assert said["fetch_balance_ws"][0]["BTC"]["total"] == 10.0
        fills = exchange.state.orders.fills[account.client_id]
        assert all(row["info"] in [fill.row for fill in fills] for row in said["watch_my_trades"][0])
        assert said["watch_orders"][0][0]["info"]["order_state"] == "filled"
        bought = [fill.row["price"] for fill in fills]
        assert min(bought) <= said["watch_positions"][0][0]["info"]["average_price"] <= max(bought)
        assert exchange.opened_sessions[0].methods()[0] == "public/auth"
