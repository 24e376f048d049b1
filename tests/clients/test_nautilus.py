"""nautilus_trader 1.231's Deribit adapter, which needs Python 3.12 or newer."""

from typing import Any

import pytest

from cryptomarket.simulator.accounts import DEFAULT_ACCOUNT
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.tickers import ticker_of
from cryptomarket.simulator.trades import trade

from .environments import run_client

pytestmark = pytest.mark.system

#: Its kinds of data, and the field of the ticker that each shows.
VALUES = {"MarkPriceUpdate": "mark_price", "IndexPriceUpdate": "index_price", "FundingRateUpdate": "interest_value"}
#: It rounds mark and index prices to the tick's decimals.
ROUNDED = 0.06


async def said(exchange: Exchange, *keys: str) -> dict[str, list[dict[str, Any]]]:
    """What the program printed, by kind."""
    lines = await run_client("nautilus", exchange.http_url, exchange.ws_url, *keys, python=(3, 12))
    found: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        found.setdefault(line["kind"], []).append(line)
    return found


def assert_values(exchange: Exchange, found: dict[str, list[dict[str, Any]]]) -> None:
    """Everything requested and received is the market's."""
    market = exchange.state.market
    perpetual = market.instruments(exchange.state.now_ms())["BTC-PERPETUAL"]

    def shown(line: dict[str, Any]) -> list[dict[str, Any]]:
        """The tickers under that timestamp: as recorded, some timestamps step back by 136 ms."""
        return [ticker_of(market, perpetual, line["at"] + late) for late in (0, 136)]

    names = {f"{one.name}.DERIBIT" for one in market.instruments(exchange.state.now_ms()).values() if one.coin == "btc"}
    assert "BTC-PERPETUAL.DERIBIT" in found["instruments"][0]["names"]
    assert set(found["instruments"][0]["names"]) <= names
    for number, price, at in found["trades"][0]["rows"]:
        made = trade(market, perpetual, at)
        assert (number, float(price)) == (made["trade_id"], made["price"])
    assert all(float(low) <= float(first) <= float(high) for low, first, high in found["bars"][0]["rows"])
    assert float(found["book"][0]["bid"]) < float(found["book"][0]["ask"])
    for line in found["QuoteTick"]:
        pairs = [(one["best_bid_price"], one["best_ask_price"]) for one in shown(line)]
        assert (float(line["bid"]), float(line["ask"])) in pairs
    for kind, field in VALUES.items():
        for line in found[kind]:
            assert any(abs(float(line["value"]) - one[field]) <= ROUNDED for one in shown(line))
    for line in found["TradeTick"]:
        made = trade(market, perpetual, line["at"])
        values = line["id"], float(line["price"]), float(line["size"])
        assert values == (made["trade_id"], made["price"], made["amount"])
    assert all(line["deltas"] for line in found["OrderBookDeltas"])


async def test_nautilus_reads_and_receives_without_a_key() -> None:
    """Instruments, trades, bars and book over HTTP; then six kinds of data as they happen."""
    async with running_exchange(time_scale=5) as exchange:
        assert_values(exchange, await said(exchange, "", ""))
        assert "public/auth" not in exchange.opened_sessions[0].methods()


async def test_nautilus_logs_in() -> None:
    """Its session log-in opens the raw channels; the account's figures, orders and fills come over HTTP."""
    account = DEFAULT_ACCOUNT
    async with running_exchange(time_scale=5) as exchange:
        found = await said(exchange, account.client_id, account.client_secret)
        assert_values(exchange, found)
        assert found["account"][0]["balances"]["BTC"] == "10.00000000 BTC"
        assert (found["orders"][0]["rows"], found["fills"][0]["rows"]) == ([], [])
        assert "public/auth" in exchange.opened_sessions[0].methods()
