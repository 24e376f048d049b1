"""Snapshots near the end of slots that had no tick, against the simulated exchange over HTTP."""

import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from cryptomarket.deribit.http_client import HttpClient
from cryptomarket.history.intervals import MissingReasons, Outage, Reason
from cryptomarket.history.recent_slots import RecentSlots
from cryptomarket.history.slot_snapshots import SlotSnapshots
from cryptomarket.model import Source, Tick
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.databases import StoredHistory

#: Long enough that no slot ends during a test.
INTERVAL = 86_400


@dataclass
class Place:
    """The exchange, a database, the ticks heard so far, and what rests by announcement."""

    exchange: Exchange
    client: HttpClient
    store: StoredHistory
    recent_slots: RecentSlots
    resting: set[str] = field(default_factory=set)
    woken: int = 0

    def snapshots(self, *tickers: str) -> SlotSnapshots:
        def wake() -> None:
            self.woken += 1

        reasons = MissingReasons([Outage(0, None, Reason.UPSTREAM)])
        return SlotSnapshots(
            self.store,
            self.client,
            tickers=lambda: tickers,
            recent_slots=self.recent_slots,
            reasons=lambda: reasons,
            now=time.time,
            rests=self.resting.__contains__,
            on_stored=wake,
        )

    def hear(self, ticker: str) -> None:
        self.recent_slots.on_message(Tick(ticker, Decimal(1), self.exchange.state.now_ms(), epoch=1, sequence=1))

    @property
    def asked(self) -> int:
        return sum(self.exchange.state.requests.values())


@asynccontextmanager
async def place(url: str) -> AsyncIterator[Place]:
    async with (
        running_exchange() as exchange,
        HttpClient(exchange.http_url, tries=1) as client,
        StoredHistory(url, interval=INTERVAL) as store,
    ):
        await store.migrate()
        yield Place(exchange, client, store, RecentSlots(INTERVAL))


async def test_a_slot_without_a_tick_gets_the_exchanges_price(database_url: str) -> None:
    """A ticker that ticked is not asked for; the next live price replaces the snapshot's."""
    async with place(database_url) as found:
        found.hear("btc_usd")
        await found.snapshots("btc_usd", "eth_usd").take()
        assert (await found.store.prices("btc_usd")).data == []
        (row,) = (await found.store.prices("eth_usd")).data
        assert row.source == Source.SNAPSHOT
        assert found.woken == 1
        coverage = await found.store.coverage("eth_usd", row.timestamp, row.timestamp + INTERVAL)
        assert [(str(part.kind), part.source) for part in coverage.intervals] == [("backfilled", "snapshot")]


async def test_when_nothing_is_missing_nothing_is_asked(sqlite_url: str) -> None:
    """Every ticker ticked, was announced to rest, or is stored already."""
    async with place(sqlite_url) as found:
        await found.snapshots("sol_usd").take()
        asked = found.asked
        found.hear("btc_usd")
        found.resting.add("eth_usd")
        await found.snapshots("btc_usd", "eth_usd", "sol_usd").take()
        assert found.asked == asked
        assert found.woken == 1


async def test_missing_slots_before_it_keep_their_reason(sqlite_url: str) -> None:
    """The recorder's reasons go into the ledger, as they would with its own next row."""
    async with place(sqlite_url) as found:
        await found.snapshots("btc_usd").take()
        (row,) = (await found.store.prices("btc_usd")).data
        later = HistoryLater(found)
        await later.take_two_slots_later("btc_usd", row.timestamp)
        coverage = await found.store.coverage("btc_usd", row.timestamp, row.timestamp + 3 * INTERVAL)
        assert [part.reason for part in coverage.intervals] == [None, "upstream", None]


@dataclass
class HistoryLater:
    """An exchange whose prices are of two slots later."""

    place: Place

    async def newest(self, ticker: str) -> Tick | None:
        tick = await self.place.client.newest(ticker)
        return tick and Tick(ticker, tick.price, tick.exchange_timestamp + 2 * INTERVAL * 1000)

    async def locked(self, indices: Collection[str]) -> frozenset[str]:
        return await self.place.client.locked(indices)

    async def take_two_slots_later(self, ticker: str, slot: int) -> None:
        snapshots = SlotSnapshots(
            self.place.store,
            self,
            tickers=lambda: [ticker],
            recent_slots=self.place.recent_slots,
            reasons=lambda: MissingReasons([Outage(slot, None, Reason.UPSTREAM)]),
            now=lambda: float(slot + 2 * INTERVAL + 1),
        )
        await snapshots.take()


async def test_a_failing_exchange_is_said_once(sqlite_url: str) -> None:
    """Until a snapshot succeeds; nothing is stored meanwhile."""
    async with place(sqlite_url) as found:
        snapshots = found.snapshots("btc_usd")
        found.exchange.inject("http_page")
        with capture_logs() as lines:
            await snapshots.take()
            await snapshots.take()
            assert [line["event"] for line in lines] == ["snapshot failing"]
            found.exchange.inject("http_page", "off")
            await snapshots.take()
        assert lines[-1]["event"] == "snapshot stored, no ticks in the slot"
        assert found.woken == 1


@pytest.mark.parametrize(
    ("start", "tickers", "lead"), [(3.0, 0, 5.0), (57.0, 0, 5.0), (3.0, 50, 15.0), (3.0, 200, 30.0)]
)
async def test_one_snapshot_begins_near_the_end_of_each_slot(
    sqlite_url: str, start: float, tickers: int, lead: float
) -> None:
    """A clock of the test: what it sleeps passes at once. Many silent tickers need more time for their requests."""
    now, taken = start, []

    class Slots(SlotSnapshots):
        async def take(self) -> None:
            taken.append(now)

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        await anyio.lowlevel.checkpoint()
        if now > 200:
            await anyio.sleep_forever()

    store = StoredHistory(sqlite_url, interval=60)
    slots = Slots(
        store,
        None,  # type: ignore[arg-type]
        tickers=lambda: [f"t{number}_usd" for number in range(tickers)],
        recent_slots=RecentSlots(60),
        reasons=MissingReasons,
        now=lambda: now,
        sleep=sleep,
    )
    with anyio.move_on_after(0.2):
        await slots.run()
    first = max(start, 60 - lead)
    assert taken[:3] == pytest.approx([first, 120 - lead, 180 - lead])
