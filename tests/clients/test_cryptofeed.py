"""cryptofeed 2.4: quotes without a key; with one tickers, trades, books, funding and open interest."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.tickers import ticker_of
from cryptomarket.simulator.trades import book, trade

from .environments import run_client
from .tls_front import tls_front

pytestmark = pytest.mark.system


async def received(exchange: Exchange, folder: Path, *keys: str) -> dict[str, list[dict[str, Any]]]:
    """Run the program and return what it was handed, by kind."""
    async with tls_front(exchange.port, folder) as front:
        said = await run_client("cryptofeed", front.place, *keys, trust=front.trust)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in said:
        found[line.pop("kind")].append(line | {"at": round(float(line["timestamp"]) * 1000)})
    return found


def shown(exchange: Exchange, at: int, *fields: str) -> list[tuple[float, ...]]:
    """The perpetual's values under that timestamp: as recorded, some timestamps step back by 136 ms."""
    market = exchange.state.market
    perpetual = market.instruments(exchange.state.now_ms())["BTC-PERPETUAL"]
    tickers = [ticker_of(market, perpetual, at + late) for late in (0, 136)]
    return [tuple(ticker[field] for field in fields) for ticker in tickers]


def assert_quotes(exchange: Exchange, quotes: list[dict[str, Any]]) -> None:
    """The quotes are those of the market."""
    assert len(quotes) > 5
    for quote in quotes:
        pair = float(quote["bid"]), float(quote["ask"])
        assert pair in shown(exchange, quote["at"], "best_bid_price", "best_ask_price")


async def test_cryptofeed_streams_quotes_without_a_key(tmp_path: Path) -> None:
    """It starts, which takes lists of instruments over HTTP, and hands on the market's quotes."""
    async with running_exchange(time_scale=5) as exchange:
        found = await received(exchange, tmp_path, "", "")
        assert found.keys() == {"l1"}
        assert_quotes(exchange, found["l1"])
        assert exchange.opened_sessions[-1].methods() == ["public/subscribe"]


async def test_cryptofeed_streams_six_kinds_with_a_key(tmp_path: Path) -> None:
    """It logs in by signature; then raw channels bring tickers, trades, books, funding and open interest."""
    account = DEFAULT_ACCOUNT
    async with running_exchange(time_scale=5) as exchange:
        found = await received(exchange, tmp_path, account.client_id, account.client_secret)
        assert found.keys() == {"l1", "ticker", "trade", "book", "funding", "interest"}
        assert_quotes(exchange, found["l1"])
        assert_quotes(exchange, found["ticker"])
        for line in found["funding"]:
            pair = float(line["mark_price"]), float(line["rate"])
            assert pair in shown(exchange, line["at"], "mark_price", "current_funding")
        for line in found["interest"]:
            assert (float(line["open_interest"]),) in shown(exchange, line["at"], "open_interest")
        assert_books_and_trades(exchange, found)


def assert_books_and_trades(exchange: Exchange, found: dict[str, list[dict[str, Any]]]) -> None:
    """The books, which are built from changes, and the trades are those of the market."""
    market = exchange.state.market
    perpetual = market.instruments(exchange.state.now_ms())["BTC-PERPETUAL"]
    assert len(found["book"]) > 5
    for line in found["book"]:
        sides = tuple([[float(part) for part in level] for level in line[side]] for side in ("bids", "asks"))
        assert sides == book(market, perpetual, line["at"])
    for line in found["trade"]:
        made = trade(market, perpetual, line["at"])
        assert (line["id"], line["side"]) == (made["trade_id"], made["direction"])
        assert (float(line["price"]), float(line["amount"])) == (made["price"], made["amount"])
