"""What a node remembers of the last slots, and that a new leader fills in with it what the last one took with it."""

from decimal import Decimal

import pytest

from cryptomarket.errors import ExchangeError
from cryptomarket.history.backfill import Backfill, Points
from cryptomarket.history.recent_slots import HEARD, KEPT_SECONDS, RecentSlots
from cryptomarket.model import Price, Tick
from tests.databases import StoredHistory


def tick(second: float, sequence: int, ticker: str = "btc_usd", epoch: int = 6, heard: int = 0) -> Tick:
    """A tick whose price is its place, of a leader that heard so much of the last one."""
    after = (epoch - 1, heard) if heard else (0, 0)
    return Tick(ticker, Decimal(sequence), int(second * 1000), epoch=epoch, sequence=sequence, after=after)


def remembered(memory: RecentSlots, ticker: str = "btc_usd") -> dict[int, int]:
    """Slots and the places of their prices."""
    return {price.timestamp: int(price.price) for price in memory.prices(ticker)}


def test_the_last_of_each_slot_is_remembered() -> None:
    """Of each ticker, under the epoch in which it was heard, and for as long as a new leader may need it."""
    memory = RecentSlots(60)
    for sequence, (second, ticker) in enumerate([(1, "btc_usd"), (59.9, "btc_usd"), (60, "eth_usd"), (61, "btc_usd")]):
        memory.on_message(tick(second, sequence + 1, ticker))
    assert remembered(memory) == {0: 2, 60: 4}
    assert memory.prices("eth_usd") == [Price("eth_usd", 60, Decimal(3), 60_000, HEARD, 6)]
    memory.on_message(tick(61 + 3 * KEPT_SECONDS, 5))
    assert remembered(memory) == {420: 5}


def test_leaders_follow_each_other() -> None:
    """The next one goes on where the last one ended; a tick of the old epoch that comes late changes nothing."""
    memory = RecentSlots(60)
    memory.on_message(tick(1, 1))
    memory.on_message(tick(2, 2, epoch=7, heard=1))
    memory.on_message(tick(3, 2))
    assert remembered(memory) == {0: 2}
    assert memory.prices("btc_usd")[0].epoch == 7


def test_what_was_heard_in_part_is_not_remembered() -> None:
    """Ticks are missing after the fourth: no slot since then has a last tick that is sure; those before have."""
    memory = RecentSlots(60)
    for sequence, second in enumerate((30, 70, 130, 135), 1):
        memory.on_message(tick(second, sequence))
    memory.on_message(tick(190, 9))
    assert remembered(memory) == {0: 1, 60: 2, 180: 9}
    memory.on_message(tick(195, 1, epoch=7))  # a leader that heard nothing
    assert remembered(memory) == {0: 1, 60: 2, 180: 1}


class Silent:
    """An exchange that must not be asked, or is away."""

    asked = 0

    async def index_chart(self, _: str, __: str) -> Points:
        self.asked += 1
        raise ExchangeError("away")

    async def bars(self, _: str, __: int, ___: int, *, minutes: int) -> Points:
        raise AssertionError(minutes)

    async def volatility(self, _: str, __: int, ___: int) -> Points:
        raise AssertionError


async def test_a_new_leader_fills_in_what_was_heard(database_url: str) -> None:
    """Before the exchange is asked, which knows averages alone; the exchange is asked for the rest."""
    memory, past = RecentSlots(60), Silent()
    async with StoredHistory(database_url, interval=60) as store:
        await store.migrate()
        epoch = await store.take_epoch()
        first = Price("btc_usd", 600, Decimal(1), 600_500, "live", epoch)
        last = Price("btc_usd", 840, Decimal(5), 840_500, "live", epoch)
        for row in (first, last):
            assert await store.write_live([row], epoch)
        for sequence, second in enumerate((660, 719, 720, 779), 1):
            memory.on_message(tick(second, sequence))
        backfill = Backfill(store, past, recent_slots=memory, wall=lambda: 900.0)  # type: ignore[arg-type]
        with pytest.raises(ExchangeError):
            await backfill.fill_all()
        rows = (await store.prices("btc_usd")).data
        assert [(row.timestamp, int(row.price)) for row in rows] == [(600, 1), (660, 2), (720, 4), (840, 5)]
        assert [row.source for row in rows] == ["live", HEARD, HEARD, "live"]
        assert past.asked == 1
        memory.on_message(tick(839, 5))
        assert await backfill.fill_all() == 1
        assert past.asked == 1
        assert (await store.coverage("btc_usd", 600, 900)).complete


async def test_a_new_leader_corrects_what_was_written_too_early(database_url: str) -> None:
    """The last leader wrote an open slot, heard more, and died; rows that say more, or are of a newer epoch, stay."""
    memory = RecentSlots(60)
    async with StoredHistory(database_url, interval=60) as store:
        await store.migrate()
        for epoch, slot, price, after in ((1, 600, 11, 10_000), (1, 660, 12, 50_000), (2, 720, 13, 10_000)):
            row = Price("btc_usd", slot, Decimal(price), slot * 1000 + after, "live", epoch)
            await store.insert_missing([row])
        for sequence, second in enumerate((640, 700, 760), 1):
            memory.on_message(tick(second, sequence, epoch=1))
        await store.correct(memory.all())
        rows = (await store.prices("btc_usd")).data
        assert [(int(row.price), row.epoch) for row in rows] == [(1, 1), (12, 1), (13, 2)]
        assert [row.source for row in rows] == ["live"] * 3
