"""The volatility indices of the simulated exchange, and a gateway that streams, records and backfills one."""

import time
from pathlib import Path

import anyio
import pytest

from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.history import prices
from cryptomarket.history.pages import PageQuery
from cryptomarket.model import Price, Source
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.simulator.market import Market
from tests.app.test_tickers import running_gateway
from tests.deribit.following import following
from tests.processes import eventually
from tests.reader import exact, reading

from .client import connected

TICKER, MINUTE, DAY = "btcdvol_usdc", 60, 86_400


async def history(exchange: Exchange, seconds: int) -> dict[int, float]:
    """Return the volatility index by the minute, up to the last whole one."""
    now = exchange.state.now_ms() // 60_000 * 60_000
    async with HttpClient(exchange.http_url) as client:
        points = await client.volatility("BTC", now - seconds * 1000, now)
    return {moment: float(value) for moment, value in points}


async def test_they_are_listed_with_a_price() -> None:
    """Both are in the catalogue and have a present price in percent points."""
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as client:
        assert {TICKER, "ethdvol_usdc"} <= (await client.tickers()).keys()
        for ticker in (TICKER, "ethdvol_usdc"):
            tick = await client.newest(ticker)
            assert tick is not None
            assert 30 < tick.price < 90


async def test_their_history_is_paged_and_stays_in_the_range_of_real_ones() -> None:
    """Two days of minutes take three pages, without a hole or a doubled minute."""
    async with running_exchange() as exchange:
        found = await history(exchange, 2 * DAY)
        assert len(found) == 2 * DAY // MINUTE
        assert exchange.state.requests["public/get_volatility_index_data"] == 3
    assert all(30 < value < 90 for value in found.values())
    assert len(set(found.values())) > 100


def test_years_of_values_stay_in_the_range() -> None:
    """Whatever the seed, no value leaves the range."""
    for seed in range(3):
        market = Market(seed)
        values = [
            market.index_price(name, day * 86_400_000) for name in (TICKER, "ethdvol_usdc") for day in range(3650)
        ]
        assert 30 < min(values) < max(values) < 90


async def test_live_values_are_those_of_the_history() -> None:
    """The index, the volatility channel and the chart of the same moment agree; a minute closes at its last tick."""
    channel = "deribit_volatility_index.btc_usd"
    async with running_exchange() as exchange, following(exchange.ws_url, TICKER) as follower:
        tick = await follower.tick_of(TICKER)
        market = exchange.state.market
        async with connected(exchange) as client:
            await client.result("public/subscribe", channels=[channel])
            sent = (await client.notification(channel))["params"]["data"]
        assert sent["volatility"] == market.index_price(TICKER, sent["timestamp"])
        assert float(tick.price) == market.index_price(TICKER, tick.exchange_timestamp)
        found = await history(exchange, 600)
    for last, value in found.items():
        assert value == market.index_price(TICKER, last)
        (slot,) = market.prices(TICKER, last - 59_999, last + 1, MINUTE)
        assert float(slot.price) == value


@pytest.mark.system
async def test_a_gateway_streams_and_records_one(tmp_path: Path) -> None:
    """Each second has a row with the value that the exchange had."""
    async with (
        running_exchange() as exchange,
        running_gateway(tmp_path, exchange, TICKER, snapshot_interval=1) as (node, client),
        reading(f"{client.base_url}/sse/?timer=0") as reader,
    ):
        with anyio.fail_after(60):
            event = exact(await reader.next(TICKER))

            async def rows() -> list[Price]:
                return list((await node.database.read(prices.page, PageQuery(TICKER))).data)

            while len(stored := await rows()) < 3:
                await anyio.sleep(0.2)
        market = exchange.state.market
        assert float(event["price"]) == market.index_price(TICKER, event["exchange_timestamp"])
        assert {price.source for price in stored} == {Source.LIVE}
        assert [float(p.price) for p in stored] == [market.index_price(TICKER, p.exchange_timestamp) for p in stored]


@pytest.mark.system
async def test_a_gateway_backfills_one(tmp_path: Path) -> None:
    """What was missed while the gateway did not run comes from the index's own history."""
    hour = int(time.time()) // MINUTE * MINUTE - 3600
    async with running_exchange() as exchange:
        async with running_gateway(tmp_path, exchange, TICKER) as (node, _):
            await eventually(lambda: node.latest.tick(TICKER), "it ticks")
            epoch = node.latest.epoch
            market = exchange.state.market
            row = next(iter(market.prices(TICKER, hour * 1000, (hour + MINUTE) * 1000, MINUTE)))
            await node.history.write_live([Price(TICKER, hour, row.price, row.exchange_timestamp, epoch=epoch)], epoch)
        query: dict[str, str | int] = {"ticker": TICKER, "start": hour, "end": hour + 3000}
        async with running_gateway(tmp_path, exchange, TICKER) as (node, client):
            with anyio.fail_after(60):
                while not (answer := (await client.get("/api/v1/prices", params=query)).json())["complete"]:
                    await anyio.sleep(0.2)
            coverage = (await client.get("/api/v1/coverage", params=query)).json()
    assert len(answer["data"]) == 50
    assert coverage["intervals"][-1]["source"] == "backfill:volatility"
    assert [row["price"] for row in answer["data"]] == [
        market.index_price(TICKER, (row["timestamp"] + MINUTE) * 1000 - 1) for row in answer["data"]
    ]
