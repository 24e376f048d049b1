"""coinbase-advanced-py 2.0, Coinbase's own client, at the doors of Coinbase: without a key and with a CDP key."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from cryptomarket.simulator.accounts import SimulatedAccount
from cryptomarket.simulator.balances import identity, summary
from cryptomarket.simulator.coinbase_keys import new_key_pair
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.market import Market
from cryptomarket.simulator.tickers import ticker_of
from cryptomarket.simulator.trades import book, trade

from ..simulator.client import http
from .environments import run_client
from .tls_front import tls_front

pytestmark = pytest.mark.system

PERPETUAL, INDEX = "BTC_USDC-PERPETUAL", "btc_usdc"
ONE = {"instrument_name": PERPETUAL}
USDC = {"currency": "USDC"}
PAIR = new_key_pair()
ACCOUNT = SimulatedAccount("organizations/a/apiKeys/b", email="ann@example.com", public_key=PAIR.public)
DAY_SECONDS = 86_400


def public_calls(now_ms: int) -> list[tuple[str, dict[str, Any]]]:
    """Each of the 36 public methods of its REST client."""
    period = {"start_timestamp": now_ms - 3_600_000, "end_timestamp": now_ms}
    of_usdc = ("get_book_summary_by_currency", "get_combo_ids", "get_combos", "get_instruments", "tickers_by_currency")
    plain = ("get_announcements", "get_currencies", "get_index_price_names", "get_supported_index_names", "get_time")
    of_one = ("get_book_summary_by_instrument", "get_contract_size", "get_instrument", "get_order_book", "ticker")
    in_period = ("get_funding_rate_history", "get_funding_rate_value", "get_mark_price_history")
    return [
        *((name, {}) for name in (*plain, "get_trade_volumes", "status", "test")),
        *((name, USDC) for name in (*of_usdc, "get_last_settlements_by_currency", "get_last_trades_by_currency")),
        *((name, ONE) for name in (*of_one, "get_last_settlements_by_instrument", "get_last_trades_by_instrument")),
        *((name, ONE | period) for name in (*in_period, "get_last_trades_by_instrument_and_time")),
        ("get_last_trades_by_currency_and_time", USDC | period),
        ("get_combo_details", {"combo_id": "BTC-CS-1"}),
        ("get_delivery_prices", {"index_name": INDEX}),
        ("get_expirations", USDC | {"kind": "any"}),
        ("get_funding_chart_data", ONE | {"length": "8h"}),
        ("get_historical_volatility", {"currency": "BTC"}),
        ("get_index_chart_data", {"index_name": INDEX, "range": "1d"}),
        ("get_index_price", {"index_name": INDEX}),
        ("get_order_book_by_instrument_id", {"instrument_id": 1}),
        ("get_volatility_index_data", {"currency": "BTC", "resolution": "60"} | period),
    ]


async def program(address: str, work: dict[str, Any], *, key: str = "", secret: str = "", **words: Any) -> list[Any]:
    """What the program printed."""
    return await run_client("coinbase", address, key, secret, json.dumps(work), **words)


def by(field: str, said: list[Any]) -> dict[str, Any]:
    """The lines that have the field, by its value."""
    return {line[field]: line for line in said if field in line}


async def answer(exchange: Exchange, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The exchange's own answer to a request."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": f"public/{method}", "params": parameters})
    _, text = await http(exchange, f"/api/v2/public/{method}", verb="POST", body=body.encode())
    answered: dict[str, Any] = json.loads(text)
    return answered


async def test_coinbase_calls_every_public_method_without_a_key(tmp_path: Path) -> None:
    """Its models keep all that the exchange answers at a moment, which are the market's values."""
    now = float(int(time.time()))
    now_ms = int(now * 1000)
    async with (
        running_exchange(door="coinbase-main", wall=lambda: now) as exchange,
        tls_front(exchange.port, tmp_path) as front,
    ):
        calls = public_calls(now_ms)
        work = {"calls": [(f"public_{name}", parameters) for name, parameters in calls]}
        said = by("method", await program(front.place, work, trust=front.trust))
        assert len(said) == 36
        for name, parameters in calls:
            answered, line = await answer(exchange, name, parameters), said[f"public_{name}"]
            assert line.get("result") == answered.get("result"), name
            assert line.get("error") == answered.get("error", {}).get("code"), name
        refused = {name for name, line in said.items() if "error" in line}
        assert refused == {"public_get_combo_details", "public_get_order_book_by_instrument_id"}  # there are none
        market = exchange.state.market
        perpetual = market.instruments(now_ms)[PERPETUAL]
        assert said["public_ticker"]["result"] == ticker_of(market, perpetual, now_ms)
        assert said["public_get_index_price"]["result"]["index_price"] == market.index_price(INDEX, now_ms)
        listed = [found.json() for found in market.instruments(now_ms).values()]
        assert said["public_get_instruments"]["result"] == listed
        rows = said["public_get_last_trades_by_instrument"]["result"]["trades"]
        assert rows == [trade(market, perpetual, row["timestamp"]) for row in rows]


STREAMED = (
    *(f"{name}.{PERPETUAL}" for name in ("quote", "incremental_ticker")),
    *(f"{name}.{PERPETUAL}.100ms" for name in ("ticker", "perpetual", "book", "trades")),
    f"book.{PERPETUAL}.none.10.100ms",
    f"chart.trades.{PERPETUAL}.1",
    "trades.future.USDC.100ms",
    *(f"deribit_price_{name}.{INDEX}" for name in ("index", "ranking", "statistics")),
    *(f"{name}.{INDEX}" for name in ("estimated_expiration_price", "markprice.options")),
    "platform_state",
)
#: Accepted, but nothing happens on them while the test runs.
QUIET = ("announcements", "platform_state.public_methods_state", "instrument.state.any.any")


async def test_coinbase_receives_channels_without_a_key() -> None:
    """The streams door sends the market's values on each channel; of requests it answers public/test alone."""
    async with running_exchange(door="coinbase-streams", time_scale=5) as exchange:
        work = {"channels": STREAMED, "quiet": [*QUIET, "user.lock"]}
        calls: list[tuple[str, dict[str, Any]]] = [("public_test", {}), ("public_get_time", {})]
        said = await program(exchange.ws_url, work | {"calls": calls})
        methods, channels = by("method", said), by("channel", said)
        assert methods["public_test"]["result"] == {"version": "1.2.26"}
        assert methods["public_get_time"]["error"] == -32601
        assert [line["rejected"] for line in said if "rejected" in line] == [["user.lock"]]
        assert channels.keys() == set(STREAMED)
        assert_values(exchange.state.market, {name: line["data"] for name, line in channels.items()})


def assert_values(market: Market, data: dict[str, Any]) -> None:
    """Ticker, quote, index, book and trades are those of the market."""
    shown = data[f"ticker.{PERPETUAL}.100ms"]
    perpetual = market.instruments(shown["timestamp"])[PERPETUAL]
    at = [shown["timestamp"] + late for late in (0, 136)]  # as recorded, some timestamps step back
    assert shown in [ticker_of(market, perpetual, moment) for moment in at]
    quoted = data[f"quote.{PERPETUAL}"]
    assert quoted.items() <= shown.items()
    index = data[f"deribit_price_index.{INDEX}"]
    assert index["price"] == market.index_price(INDEX, index["timestamp"])
    levels = data[f"book.{PERPETUAL}.none.10.100ms"]
    assert (levels["bids"], levels["asks"]) == book(market, perpetual, levels["timestamp"], 10)
    for row in data[f"trades.{PERPETUAL}.100ms"]:
        assert row == trade(market, perpetual, row["timestamp"])


async def test_coinbase_receives_listings_and_mark_prices_of_options() -> None:
    """New options arrive whole when a day begins; this client's other public methods also work over WebSocket."""
    begun: list[Exchange] = []

    def wall() -> float:
        """The time, a day later once the client has subscribed."""
        subscribed = begun and begun[0].state.requests.get("public/subscribe")
        return time.time() + (DAY_SECONDS if subscribed else 0)

    async with running_exchange(wall=wall) as exchange:
        begun.append(exchange)
        channels = ["instrument.creation.option.BTC", "instrument.state.option.any", "markprice.options.btc_usd"]
        work = {"calls": [("public_hello", {"client_name": "a", "client_version": "1"})], "channels": channels}
        said = await program(exchange.ws_url, work)
        data = {name: line["data"] for name, line in by("channel", said).items()}
        listed = exchange.state.market.instruments(exchange.state.now_ms())
        created = data["instrument.creation.option.BTC"]
        assert created == listed[created["instrument_name"]].json()
        assert data["instrument.state.option.any"]["state"] in ("settlement", "open")
        marks = {row["instrument_name"]: row["mark_price"] for row in data["markprice.options.btc_usd"]}
        assert len(marks) > 20
        assert by("method", said)["public_hello"]["result"] == {"version": "1.2.26"}


async def test_coinbase_logs_in_with_a_cdp_key(tmp_path: Path) -> None:
    """Over HTTP and WebSocket it signs a token and reads the account; it hears of its own order, then logs out."""
    async with (
        running_exchange(door="coinbase-main", accounts=[ACCOUNT]) as exchange,
        tls_front(exchange.port, tmp_path) as front,
    ):
        keys = {"key": ACCOUNT.client_id, "secret": PAIR.private}
        reads: list[tuple[str, dict[str, Any]]] = [("private_get_account_summary", USDC | {"extended": True})]
        more: list[tuple[str, dict[str, Any]]] = [("private_get_positions", {}), ("private_get_open_orders", {})]
        read = by("method", await program(front.place, {"calls": reads + more}, trust=front.trust, **keys))
        assert read["private_get_account_summary"]["result"] == identity(ACCOUNT) | summary(ACCOUNT, "USDC")
        assert [row["instrument_name"] for row in read["private_get_positions"]["result"]] == [PERPETUAL]
        assert read["private_get_open_orders"]["result"] == []
        buys = ("private_buy", ONE | {"amount": 0.01, "type": "market", "label": "mine"})
        own = [f"user.{name}.{PERPETUAL}.raw" for name in ("orders", "trades", "changes")] + ["user.portfolio.usdc"]
        said = await program(exchange.ws_url, {"calls": [*reads, buys], "channels": own}, **keys)
        methods, data = by("method", said), {name: line["data"] for name, line in by("channel", said).items()}
        assert methods["private_get_account_summary"]["result"] == identity(ACCOUNT) | summary(ACCOUNT, "USDC")
        assert data.keys() == set(own)
        (fill,) = exchange.state.orders.fills[ACCOUNT.client_id]
        assert data[own[1]] == [fill.row] == methods["private_buy"]["result"]["trades"]
        assert (data[own[0]]["label"], data[own[0]]["order_state"]) == ("mine", "filled")
        assert data["user.portfolio.usdc"]["currency"] == "USDC"
        assert methods["private_logout"]["result"] == "ok"
        session = exchange.opened_sessions[-1]
        assert (session.methods()[0], session.methods()[-1]) == ("public/auth", "private/logout")
        assert exchange.sessions == []


async def test_coinbase_is_refused_with_a_key_of_somebody_else(tmp_path: Path) -> None:
    """It says that the log-in was rejected, over HTTP and over WebSocket."""
    async with (
        running_exchange(door="coinbase-main", accounts=[ACCOUNT]) as exchange,
        tls_front(exchange.port, tmp_path) as front,
    ):
        keys = {"key": ACCOUNT.client_id, "secret": new_key_pair().private}
        calls: dict[str, Any] = {"calls": [("private_get_positions", {})]}
        for address, reason in ((front.place, " (HTTP 400)"), (exchange.ws_url, "")):
            said = await program(address, calls, trust=front.trust, **keys)
            assert said == [{"refused": f"public/auth rejected{reason}: [13004] invalid_credentials"}]
