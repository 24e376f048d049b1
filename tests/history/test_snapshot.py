"""The snapshot on a real database, against the simulated exchange over HTTP."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.deribit.rate_limit import Group, RateLimiter
from cryptomarket.history.intervals import MissingReasons, Outage, Reason
from cryptomarket.history.snapshot import Snapshot, take_snapshot
from cryptomarket.model import Price, Source
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.databases import StoredHistory
from tests.deribit.following import held_up

EIGHT = ("btc_usd", "eth_usd", "sol_usd", "xrp_usd", "ada_usd", "avax_usd", "BTC-PERPETUAL", "ETH-PERPETUAL")


@asynccontextmanager
async def market(url: str, interval: int = 60) -> AsyncIterator[tuple[Exchange, HttpClient, StoredHistory]]:
    """The exchange, a client of it, and a migrated database."""
    async with (
        running_exchange() as exchange,
        HttpClient(exchange.http_url, tries=1) as client,
        StoredHistory(url, interval=interval, pooled=False) as store,
    ):
        await store.migrate()
        yield exchange, client, store


def now_slot(exchange: Exchange, interval: int = 60) -> int:
    return exchange.state.now_ms() // 1000 // interval * interval


async def test_d3_eight_tickers_take_no_longer_than_one(database_url: str) -> None:
    """Each answer takes a second; all are requested at once, and each price goes into the slot of its own time."""
    async with market(database_url) as (exchange, client, store):
        exchange.inject("delay", "1")
        began, first = time.monotonic(), now_slot(exchange)
        async with held_up() as lost:
            found = await take_snapshot(store, client, EIGHT)
            took = time.monotonic() - began
            assert took >= 1
            assert took - lost() < 2
        assert [price.ticker for price in found.stored] == [*EIGHT]
        assert (found.refused, found.failed) == ({}, {})
        for ticker in EIGHT:
            (row,) = (await store.prices(ticker)).data
            assert (row.source, first <= row.timestamp <= now_slot(exchange)) == (Source.SNAPSHOT, True)
        found_coverage = await store.coverage("btc_usd", row.timestamp, row.timestamp + 60)
        assert [(str(interval.kind), interval.source) for interval in found_coverage.intervals] == [
            ("backfilled", "snapshot")
        ]


async def test_a_filled_slot_asks_nobody(sqlite_url: str) -> None:
    """A second run in a slot, or a run without tickers, costs the exchange nothing."""
    async with market(sqlite_url, 86_400) as (exchange, client, store):
        assert len((await take_snapshot(store, client, ["btc_usd"])).stored) == 1
        asked = exchange.state.requests.copy()
        assert await take_snapshot(store, client, ["btc_usd"]) == Snapshot()
        assert await take_snapshot(store, client, []) == Snapshot()
        assert exchange.state.requests == asked


async def test_without_tickers_the_database_is_not_opened(tmp_path: Path) -> None:
    """Nothing is wanted: a database that does not exist is no failure."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'prices.db'}"
    async with running_exchange() as exchange, HttpClient(exchange.http_url) as client:
        assert await take_snapshot(StoredHistory(url), client, []) == Snapshot()
    assert not (tmp_path / "prices.db").exists()


async def test_a_live_price_is_never_replaced(database_url: str) -> None:
    """The recorder's price stands, though the snapshot's clock takes its slot for an empty one."""
    async with market(database_url, 86_400) as (exchange, client, store):
        epoch, slot = await store.take_epoch(), now_slot(exchange, 86_400)
        await store.write_live([Price("btc_usd", slot, Decimal("1.5"), slot * 1000, epoch=epoch)], epoch)
        found = await take_snapshot(store, client, ["btc_usd"], wall=lambda: time.time() + 86_400)
        assert found == Snapshot()
        (row,) = (await store.prices("btc_usd")).data
        assert (str(row.price), row.source) == ("1.5", "live")


async def test_the_recorder_wins_over_a_snapshot(database_url: str) -> None:
    """With both running a slot is stored once, and a price that was received live replaces the other."""
    async with market(database_url, 86_400) as (_, client, store):
        (stored,) = (await take_snapshot(store, client, ["btc_usd"])).stored
        epoch, slot = await store.take_epoch(), stored.timestamp
        await store.write_live([Price("btc_usd", slot, Decimal("1.5"), slot * 1000, epoch=epoch)], epoch)
        (row,) = (await store.prices("btc_usd")).data
        assert (str(row.price), row.source) == ("1.5", "live")


async def test_a_failing_ticker_costs_no_other(sqlite_url: str) -> None:
    """A name that does not exist is refused, a method that fails may pass, and the index between them is stored."""
    async with market(sqlite_url, 86_400) as (exchange, client, store):
        exchange.inject("error", "public/ticker:11094")
        found = await take_snapshot(store, client, ["nothing_usd", "btc_usd", "BTC-PERPETUAL"])
        assert [price.ticker for price in found.stored] == ["btc_usd"]
        assert found.refused.keys() == {"nothing_usd"}
        assert found.failed.keys() == {"BTC-PERPETUAL"}


async def test_what_was_answered_in_time_is_stored(sqlite_url: str) -> None:
    """A method that is never answered does not hold the prices of others back."""
    async with market(sqlite_url, 86_400) as (_, client, store):

        class Half:
            locked = client.locked

            async def newest(self, ticker: str) -> object:
                return await (client.newest(ticker) if ticker == "btc_usd" else anyio.sleep_forever())

        found = await take_snapshot(store, Half(), ["btc_usd", "eth_usd"], seconds=1)  # type: ignore[arg-type]
        assert [price.ticker for price in found.stored] == ["btc_usd"]
        assert found.failed == {"eth_usd": "no answer within 1 s"}


@pytest.mark.parametrize(("locked", "stored"), [("eth_usd", ["btc_usd", "BTC-PERPETUAL"]), ("", ["BTC-PERPETUAL"])])
async def test_a_locked_index_has_no_price_of_this_moment(sqlite_url: str, locked: str, stored: list[str]) -> None:
    """Over HTTP its price stands still and carries no time; an instrument's price carries its own."""
    async with market(sqlite_url, 86_400) as (exchange, client, store):
        exchange.inject("lock", locked)
        found = await take_snapshot(store, client, ["btc_usd", "eth_usd", "BTC-PERPETUAL"])
        assert [price.ticker for price in found.stored] == stored
        assert found.refused["eth_usd"] == "locked by the exchange"


async def test_without_the_state_of_locks_no_index_is_stored(sqlite_url: str) -> None:
    """It may be locked: the request is to be repeated."""
    async with market(sqlite_url, 86_400) as (exchange, client, store):
        exchange.inject("error", "public/status:11094")
        found = await take_snapshot(store, client, ["btc_usd", "BTC-PERPETUAL"])
        assert [price.ticker for price in found.stored] == ["BTC-PERPETUAL"]
        assert found.failed.keys() == {"btc_usd"}


async def test_an_exchange_that_does_not_know_locks_has_none(sqlite_url: str) -> None:
    """Its refusal of the question is lasting, so waiting for an answer would cost every slot."""
    async with market(sqlite_url, 86_400) as (exchange, client, store):
        exchange.inject("error", "public/status:-32601")
        found = await take_snapshot(store, client, ["btc_usd", "BTC-PERPETUAL"])
        assert [price.ticker for price in found.stored] == ["btc_usd", "BTC-PERPETUAL"]


async def test_maintenance_is_a_failure_that_passes(sqlite_url: str) -> None:
    """Nothing is stored while the exchange rests."""
    async with market(sqlite_url) as (exchange, client, store):
        exchange.inject("maintenance")
        found = await take_snapshot(store, client, EIGHT)
        assert found.stored == ()
        assert found.failed.keys() == {*EIGHT}


async def test_the_time_before_it_has_the_callers_reasons(sqlite_url: str) -> None:
    """The ledger says why the slots between its end and the snapshot are missing."""
    async with market(sqlite_url) as (exchange, client, store):
        epoch, slot = await store.take_epoch(), now_slot(exchange) - 600
        await store.write_live([Price("btc_usd", slot, Decimal(1), slot * 1000, epoch=epoch)], epoch)
        reasons = MissingReasons([Outage(slot, None, Reason.UPSTREAM)])
        (stored,) = (await take_snapshot(store, client, ["btc_usd"], reasons=reasons)).stored
        found = await store.coverage("btc_usd", slot, stored.timestamp + 60)
        assert [interval.reason for interval in found.intervals] == [None, "upstream", None]


async def test_it_leaves_credits_to_the_connection(sqlite_url: str) -> None:
    """While a crowd of tickers waits for credits, a request of the connection may go at once."""
    budget = RateLimiter()
    async with (
        running_exchange() as exchange,
        HttpClient(exchange.http_url, budget=budget) as client,
        StoredHistory(sqlite_url, interval=86_400, pooled=False) as store,
    ):
        await store.migrate()
        waits: list[float] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_snapshot, store, client, [f"{EIGHT[0]}", *(f"x{n}_usd" for n in range(24))])
            for _ in range(15):
                await anyio.sleep(0.1)
                waits.append(budget.wait(Group.NON_MATCHING, time.monotonic()))
        assert max(waits) == 0
