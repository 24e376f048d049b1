"""What the channels beside index and ticker say, and that what they say adds up."""

from typing import Any

import anyio
import pytest

from cryptomarket.simulator.channels import Channels
from cryptomarket.simulator.exchange import running_exchange
from cryptomarket.simulator.market import Market
from cryptomarket.simulator.switches import Switches

from .client import connected

NOW = 1_795_200_000_000


async def test_a_book_can_be_followed_from_its_snapshot() -> None:
    """Every change builds on the one before, and together they are the book of the market."""
    async with running_exchange(time_scale=10) as exchange, connected(exchange) as client:
        channel = "book.BTC-PERPETUAL.100ms"
        await client.result("public/subscribe", channels=[channel])
        data = (await client.notification(channel))["params"]["data"]
        assert data["type"] == "snapshot"
        sides: dict[str, dict[float, float]] = {side: {p: a for _, p, a in data[side]} for side in ("bids", "asks")}
        last = data["change_id"]
        for _ in range(10):
            data = (await client.notification(channel))["params"]["data"]
            assert (data["type"], data["prev_change_id"]) == ("change", last)
            assert data["bids"] or data["asks"]  # none of the recorded changes is empty
            last = data["change_id"]
            for side, levels in sides.items():
                _apply(levels, data[side])
        assert max(sides["bids"]) < min(sides["asks"])
        grouped = "book.BTC-PERPETUAL.none.10.100ms"
        await client.result("public/subscribe", channels=[grouped])
        assert "type" not in (await client.notification(grouped))["params"]["data"]


def _apply(levels: dict[float, float], rows: list[Any]) -> None:
    for action, price, amount in rows:
        assert (price in levels) == (action != "new")
        if action == "delete":
            del levels[price]
        else:
            levels[price] = amount


async def test_incremental_tickers_add_up_to_the_ticker() -> None:
    """A snapshot, then the fields that changed, nested ones in part: merged deeply they are the whole ticker."""
    async with running_exchange(time_scale=10) as exchange, connected(exchange) as client:
        channel, whole = "incremental_ticker.BTC-PERPETUAL", "ticker.BTC-PERPETUAL.100ms"
        await client.result("public/subscribe", channels=[channel])
        merged = (await client.notification(channel))["params"]["data"]
        assert merged.pop("type") == "snapshot"
        change = (await client.notification(channel))["params"]["data"]
        assert change.pop("type") == "change"
        assert len(change) < len(merged)
        for name, value in change.items():
            merged[name] = {**merged[name], **value} if isinstance(value, dict) else value
        await client.result("public/subscribe", channels=[whole])
        assert set((await client.notification(whole))["params"]["data"]) == set(merged)


async def test_the_trades_of_a_kind_are_of_what_is_listed_now() -> None:
    """A channel of a kind tells the trades of every instrument; those of combos have legs."""
    async with running_exchange(time_scale=50) as exchange, connected(exchange) as client:
        channel = "trades.any.any.100ms"
        await client.result("public/subscribe", channels=[channel])
        rows = [row for _ in range(20) for row in (await client.notification(channel))["params"]["data"]]
        linear = [row for row in rows if "_USDC" in row["instrument_name"]]
        assert linear
        assert all(row["trade_id"].startswith("USDC-") for row in linear)
        combos = [row for row in rows if "legs" in row]
        assert all(leg["combo_id"] == row["instrument_name"] for row in combos for leg in row["legs"])
        assert {row["instrument_name"].rpartition("-")[2] for row in rows} > {"C", "P", "PERPETUAL"}


async def test_trades_come_without_a_greeting_and_in_sequence() -> None:
    """Nothing until something is traded; identifiers are strings, and numbers may exceed 2**53."""
    async with running_exchange(time_scale=20) as exchange, connected(exchange) as client:
        channel = "trades.BTC-PERPETUAL.100ms"
        await client.result("public/subscribe", channels=[channel])
        rows = [row for _ in range(5) for row in (await client.notification(channel))["params"]["data"]]
        numbers = [row["trade_seq"] for row in rows]
        assert numbers == sorted(set(numbers))
        assert all(isinstance(row["trade_id"], str) and row["starbase_match_id"] > 2**53 for row in rows)


@pytest.mark.parametrize(
    "name",
    [
        "trades.BTC_USDC.100ms",
        "chart.trades.BTC_USDC.1",
        "ticker.btc_usd.100ms",
        "deribit_price_index.BTC_USD",
        "deribit_volatility_index.sol_usd",
        "perpetual.BTC-25DEC26.100ms",
        "chart.trades.BTC-PERPETUAL.2",
        "book.BTC-PERPETUAL.none.3.100ms",
        "ticker.BTC-PERPETUAL.5ms",
        "",
    ],
)
def test_what_is_no_channel_is_none(name: str) -> None:
    """Spot is routed elsewhere, and near misses are nothing."""
    assert Channels(Market(), Switches()).read(name, NOW) is None


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("deribit_price_ranking.btc_usd", None),
        ("deribit_price_statistics.btc_usd", {"low24h", "high24h", "change24h", "high_volatility", "index_name"}),
        ("deribit_volatility_index.eth_usd", {"timestamp", "volatility", "index_name"}),
        ("estimated_expiration_price.btc_usd", {"seconds", "price", "is_estimated"}),
        ("markprice.options.btc_usd", None),
        ("perpetual.BTC-PERPETUAL.100ms", {"timestamp", "interest", "index_price"}),
        ("chart.trades.BTC-PERPETUAL.1D", {"volume", "tick", "open", "low", "high", "cost", "close"}),
    ],
)
def test_a_channel_says_the_documented_fields(name: str, fields: set[str] | None) -> None:
    """Ranking is a list, and its weights add up; statistics have no time stamp."""
    channel = Channels(Market(), Switches()).read(name, NOW)
    assert channel is not None
    assert channel.moment is not None
    data = channel.data(channel.moment(NOW))
    if name.startswith("markprice"):
        assert all(set(row) == {"mark_price", "iv", "instrument_name"} and row["iv"] < 3 for row in data)
    elif fields is None:
        assert sum(row["weight"] for row in data) == 100
    else:
        assert set(data) == fields


async def test_two_sessions_hear_the_same_frames() -> None:
    """A notification is written once for all who listen."""
    async with running_exchange(time_scale=10) as exchange, connected(exchange) as one, connected(exchange) as two:
        channel = "deribit_price_index.btc_usd"
        for client in (one, two):
            await client.result("public/subscribe", channels=[channel])
        notified = [(await two.notification(channel)) for _ in range(3)][-1]
        with anyio.fail_after(30):
            while await one.notification(channel) != notified:
                pass
        assert len(exchange.broadcaster.entries) == 1


@pytest.mark.parametrize("first", [True, False])
async def test_a_first_value_of_an_index_is_a_switch(first: bool) -> None:
    """The first value may be sent at once, which is not recorded; in both cases no later tick is missed."""
    moment, switches = [NOW / 1000], Switches(first_values=first)
    async with running_exchange(switches=switches, wall=lambda: moment[0]) as exchange, connected(exchange) as client:
        await client.result("public/subscribe", channels=["deribit_price_index.btc_usd"])
        assert (exchange.broadcaster.sent > 0) == first
        moment[0] += 1.5
        stamps = [(await client.notification())["params"]["data"]["timestamp"] for _ in range(1 + first)]
        assert stamps[-1] > NOW
