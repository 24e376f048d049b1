"""The recent slots in the memory of a node, with which a new leader fills what the last one did not store."""

from decimal import Decimal

import pytest

from cryptomarket.errors import ExchangeError
from cryptomarket.history.backfill import Backfill, Points
from cryptomarket.history.recent_slots import HEARD, KEPT_SECONDS, RecentSlots
from cryptomarket.model import Price, Tick
from tests.databases import StoredHistory


def tick(second: float, sequence: int, ticker: str = "btc_usd", epoch: int = 6, received: int = 0) -> Tick:
    """Return a tick whose price is its sequence, of a leader that received the last one's ticks up to ``received``."""
    after = (epoch - 1, received) if received else (0, 0)
    return Tick(ticker, Decimal(sequence), int(second * 1000), epoch=epoch, sequence=sequence, after=after)


def remembered(recent: RecentSlots, ticker: str = "btc_usd") -> dict[int, int]:
    """Return the slots with the sequences of their prices."""
    return {price.timestamp: int(price.price) for price in recent.prices(ticker)}


def test_the_last_tick_of_each_slot_is_kept() -> None:
    """Each ticker keeps its slots with their epochs, for as long as a new leader may need them."""
    recent = RecentSlots(60)
    for sequence, (second, ticker) in enumerate([(1, "btc_usd"), (59.9, "btc_usd"), (60, "eth_usd"), (61, "btc_usd")]):
        recent.on_message(tick(second, sequence + 1, ticker))
    assert remembered(recent) == {0: 2, 60: 4}
    assert recent.prices("eth_usd") == [Price("eth_usd", 60, Decimal(3), 60_000, HEARD, 6)]
    recent.on_message(tick(61 + 3 * KEPT_SECONDS, 5))
    assert remembered(recent) == {420: 5}


def test_leaders_follow_each_other() -> None:
    """A new leader continues after the last one, and a late tick of the old epoch changes nothing."""
    recent = RecentSlots(60)
    recent.on_message(tick(1, 1))
    recent.on_message(tick(2, 2, epoch=7, received=1))
    recent.on_message(tick(3, 2))
    assert remembered(recent) == {0: 2}
    assert recent.prices("btc_usd")[0].epoch == 7


def test_incomplete_slots_are_not_kept() -> None:
    """After missing ticks the last tick of the affected slots is unknown; earlier slots are kept."""
    recent = RecentSlots(60)
    for sequence, second in enumerate((30, 70, 130, 135), 1):
        recent.on_message(tick(second, sequence))
    recent.on_message(tick(190, 9))
    assert remembered(recent) == {0: 1, 60: 2, 180: 9}
    recent.on_message(tick(195, 1, epoch=7))  # a leader that received nothing
    assert remembered(recent) == {0: 1, 60: 2, 180: 1}


class UnreachableExchange:
    """An unreachable exchange, which counts requests."""

    requests = 0

    async def index_chart(self, _: str, __: str) -> Points:
        self.requests += 1
        raise ExchangeError("away")

    async def bars(self, _: str, __: int, ___: int, *, minutes: int) -> Points:
        raise AssertionError(minutes)

    async def volatility(self, _: str, __: int, ___: int) -> Points:
        raise AssertionError


async def test_a_new_leader_stores_recent_slots(database_url: str) -> None:
    """Recent slots are stored before a request to the exchange, which is sent only for the rest."""
    recent, exchange = RecentSlots(60), UnreachableExchange()
    async with StoredHistory(database_url, interval=60) as store:
        await store.migrate()
        epoch = await store.take_epoch()
        first = Price("btc_usd", 600, Decimal(1), 600_500, "live", epoch)
        last = Price("btc_usd", 840, Decimal(5), 840_500, "live", epoch)
        for row in (first, last):
            assert await store.write_live([row], epoch)
        for sequence, second in enumerate((660, 719, 720, 779), 1):
            recent.on_message(tick(second, sequence))
        backfill = Backfill(store, exchange, recent_slots=recent, wall=lambda: 900.0)  # type: ignore[arg-type]
        with pytest.raises(ExchangeError):
            await backfill.fill_all()
        rows = (await store.prices("btc_usd")).data
        assert [(row.timestamp, int(row.price)) for row in rows] == [(600, 1), (660, 2), (720, 4), (840, 5)]
        assert [row.source for row in rows] == ["live", HEARD, HEARD, "live"]
        assert exchange.requests == 1
        recent.on_message(tick(839, 5))
        assert await backfill.fill_all() == 1
        assert exchange.requests == 1
        assert (await store.coverage("btc_usd", 600, 900)).complete


async def test_a_new_leader_corrects_open_slots(database_url: str) -> None:
    """A newer tick replaces the row of an open slot; rows with a newer tick or epoch stay."""
    recent = RecentSlots(60)
    async with StoredHistory(database_url, interval=60) as store:
        await store.migrate()
        for epoch, slot, price, after in ((1, 600, 11, 10_000), (1, 660, 12, 50_000), (2, 720, 13, 10_000)):
            row = Price("btc_usd", slot, Decimal(price), slot * 1000 + after, "live", epoch)
            await store.insert_missing([row])
        for sequence, second in enumerate((640, 700, 760), 1):
            recent.on_message(tick(second, sequence, epoch=1))
        await store.correct(recent.all())
        rows = (await store.prices("btc_usd")).data
        assert [(int(row.price), row.epoch) for row in rows] == [(1, 1), (12, 1), (13, 2)]
        assert [row.source for row in rows] == ["live"] * 3
