"""The recorder, on both databases: slots by the exchange's clock, one row each, whatever goes away."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import anyio
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from cryptomarket.history.recorder import QUEUE_SECONDS, Recorder
from cryptomarket.model import Gap, Tick, Upstream, UpstreamState
from tests.databases import Postgres, StoredHistory

SLOT = 1_763_668_800
#: The log lines of an outage of the database.
DOWN_AND_UP = ["database unavailable, slots queued", "database available, writing queued slots"]


@dataclass
class Clock:
    """Monotonic seconds that the test advances."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that the test advances."""
    return Clock()


def tick(seconds: float, price: str, *, ticker: str = "btc_usd", epoch: int = 1) -> Tick:
    """A tick that many seconds after the first slot's start."""
    return Tick(ticker, Decimal(price), int((SLOT + seconds) * 1000), epoch=epoch)


@pytest.fixture
def logs() -> Iterator[list[EventDict]]:
    """The log lines of the test."""
    with capture_logs() as lines:
        yield lines


async def stored(store: StoredHistory, ticker: str = "btc_usd") -> dict[int, str]:
    """Slot, counted from the first, to price."""
    return {(row.timestamp - SLOT) // 60: str(row.price) for row in (await store.prices(ticker, limit=10_000)).data}


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something another task does."""
    with anyio.fail_after(60):
        while not condition():  # what is waited for is a counter, not an event
            await anyio.sleep(0.01)


async def new_recorder(store: StoredHistory, clock: Clock, interval: int = 60) -> Recorder:
    """A recorder of a new leader."""
    return Recorder(store, interval=interval, epoch=await store.take_epoch(), monotonic=clock)


async def test_the_last_tick_of_a_slot_is_its_price(store: StoredHistory, clock: Clock) -> None:
    """Ticks fall into slots by their own timestamp; the last to arrive is kept, even when its timestamp steps back."""
    recorder = await new_recorder(store, clock)
    for seconds, price in [(0, "1"), (59.999, "2"), (59.5, "3"), (60, "4"), (121, "5")]:
        recorder.on_message(tick(seconds, price))
    await recorder.write()
    assert await stored(store) == {0: "3", 1: "4"}


async def test_a_slot_is_written_a_moment_after_it_ends(store: StoredHistory, clock: Clock) -> None:
    """The exchange's clock goes on while no tick comes, so the last slot of a silent ticker closes too."""
    recorder = await new_recorder(store, clock)
    recorder.on_message(tick(-1, "0"))
    recorder.on_message(tick(30, "1"))
    await recorder.write()
    assert await stored(store) == {-1: "0"}
    clock.now += 31.5
    await recorder.write()
    assert await stored(store) == {-1: "0", 0: "1"}


async def test_the_first_slot_after_a_hole_is_written_at_once(store: StoredHistory, clock: Clock) -> None:
    """The hole is known as soon as it has ended, so that it can be filled; the open slot is corrected later."""
    recorder = await new_recorder(store, clock)
    recorder.on_message(tick(1, "1"))
    await recorder.write()
    assert await stored(store) == {0: "1"}
    recorder.on_message(tick(30, "2"))
    recorder.on_message(tick(601, "3"))
    await recorder.write()
    assert await stored(store) == {0: "2", 10: "3"}
    recorder.on_message(tick(602, "4"))
    await recorder.write()
    assert await stored(store) == {0: "2", 10: "3"}
    clock.now += 62
    await recorder.write()
    assert await stored(store) == {0: "2", 10: "4"}


async def test_a_late_tick_corrects_its_slot(store: StoredHistory, clock: Clock) -> None:
    """A tick that arrives after its slot was written replaces the row and does not hold up the present."""
    recorder = await new_recorder(store, clock)
    recorder.on_message(tick(10, "1"))
    recorder.on_message(tick(125, "2"))
    await recorder.write()
    recorder.on_message(tick(40, "1.5"))
    clock.now += 60
    await recorder.write()
    assert await stored(store) == {0: "1.5", 2: "2"}


async def test_a_tick_of_an_older_epoch_is_not_recorded(store: StoredHistory, clock: Clock) -> None:
    """What a deposed leader still publishes changes nothing."""
    recorder = await new_recorder(store, clock)
    recorder.on_message(tick(1, "1", epoch=2))
    recorder.on_message(tick(2, "9", epoch=1))
    await recorder.write(with_open=True)
    assert await stored(store) == {0: "1"}


async def test_every_ticker_that_ticks_is_recorded(store: StoredHistory, clock: Clock) -> None:
    """A ticker that a stream requests is recorded beside the configured ones while it ticks."""
    recorder = await new_recorder(store, clock)
    for ticker in ("btc_usd", "eth_usd", "BTC-PERPETUAL"):
        recorder.on_message(tick(1, "1", ticker=ticker))
    recorder.on_message(Upstream(UpstreamState.DOWN, 0))
    recorder.on_message(Gap("sol_usd"))
    await recorder.write(with_open=True)
    assert sorted(await store.tickers()) == ["BTC-PERPETUAL", "btc_usd", "eth_usd"]


async def test_d4_what_only_streams_want_is_not_recorded_by_default(store: StoredHistory, clock: Clock) -> None:
    """The open minute of such a ticker is kept in memory for its candle; neither price nor bar is stored."""
    recorder = Recorder(
        store, interval=60, epoch=await store.take_epoch(), configured=["btc_usd"], record_wanted=False, monotonic=clock
    )
    for ticker in ("btc_usd", "sol_usd"):
        recorder.on_message(tick(1, "1", ticker=ticker))
    assert [bar.ticker for bar in recorder.bars("sol_usd")] == ["sol_usd"]
    clock.now += 61
    for ticker in ("btc_usd", "sol_usd"):
        recorder.on_message(tick(62, "2", ticker=ticker))
    await recorder.write()
    assert await store.tickers() == ["btc_usd"]
    assert await store.candles("sol_usd", "1m") == []
    assert [bar.timestamp for bar in recorder.bars("sol_usd")] == [SLOT + 60]
    assert not (await store.coverage("sol_usd", SLOT, SLOT + 60)).complete


async def test_a_stop_writes_the_open_slot(store: StoredHistory, clock: Clock) -> None:
    """What has arrived before a stop is in the database after it."""
    recorder = await new_recorder(store, clock)
    async with anyio.create_task_group() as tasks:
        await tasks.start(recorder.run)
        recorder.on_message(tick(1, "1"))
        tasks.cancel_scope.cancel()
    assert await stored(store) == {0: "1"}


async def test_a_restart_goes_on_in_the_same_slot(store: StoredHistory, clock: Clock) -> None:
    """The slot in which the program was stopped has one row, and its price is the last of both."""
    first = await new_recorder(store, clock)
    first.on_message(tick(1, "1"))
    await first.write(with_open=True)
    second = await new_recorder(store, clock)
    second.on_message(tick(50, "2", epoch=2))
    await second.write(with_open=True)
    assert await stored(store) == {0: "2"}


async def test_a_deposed_recorder_stops_and_says_so_once(
    store: StoredHistory, clock: Clock, logs: list[EventDict]
) -> None:
    """When another process records into the same database, the older one neither writes nor fills its memory."""
    old = await new_recorder(store, clock)
    await new_recorder(store, clock)
    for n in range(3):
        old.on_message(tick(60 * n, "1"))
        await old.write(with_open=True)
    assert await stored(store) == {}
    assert old.statistics().deposed
    assert old.statistics().queued == 0
    assert [line["log_level"] for line in logs] == ["warning"]


async def test_runs_by_itself(store: StoredHistory) -> None:
    """With slots of a second on the real clock, closed slots appear while it runs."""
    recorder = Recorder(store, interval=1, epoch=await store.take_epoch())
    async with anyio.create_task_group() as tasks:
        await tasks.start(recorder.run)
        recorder.on_message(tick(0.5, "1"))
        recorder.on_message(tick(1.9, "2"))
        await until(lambda: recorder.statistics().written >= 2)
        tasks.cancel_scope.cancel()
    assert len((await store.prices("btc_usd")).data) == 2


async def test_slots_wait_while_postgresql_is_gone(
    postgres: Postgres, postgres_url: str, clock: Clock, logs: list[EventDict]
) -> None:
    """Killed without warning and started again, PostgreSQL has every slot; the log has one line for each change."""
    async with StoredHistory(postgres_url) as store:
        await store.migrate()
        recorder = await new_recorder(store, clock)
        recorder.on_message(tick(0, "0"))
        recorder.on_message(tick(61.5, "1"))
        await recorder.write()
        postgres.kill()
        for n in range(2, 6):
            recorder.on_message(tick(n * 60 + 1.5, str(n)))
            await recorder.write()
        assert recorder.statistics().database_down
        assert recorder.statistics().queued == 5
        postgres.start()
        await recorder.write()
        assert await stored(store) == {n: str(n) for n in range(5)}
    assert [line["event"] for line in logs] == DOWN_AND_UP


async def test_slots_wait_while_sqlite_is_locked(sqlite_url: str, clock: Clock, logs: list[EventDict]) -> None:
    """Another program that holds SQLite's lock delays the rows, and loses none."""
    async with StoredHistory(sqlite_url, lock_seconds=0.05) as store:
        await store.migrate()
        recorder = await new_recorder(store, clock)
        other = sqlite3.connect(store.database.place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for n in range(4):
            recorder.on_message(tick(n * 60 + 1.5, str(n)))
            await recorder.write()
        assert recorder.statistics().database_down
        other.execute("COMMIT")
        other.close()
        await recorder.write()
        assert await stored(store) == {0: "0", 1: "1", 2: "2"}
    assert [line["event"] for line in logs] == DOWN_AND_UP


async def test_a_stop_with_the_database_away_ends_in_time(sqlite_url: str, clock: Clock) -> None:
    """A stop waits a few seconds for a database that does not answer, not for ever."""
    async with StoredHistory(sqlite_url, lock_seconds=0.2) as store:
        await store.migrate()
        recorder = await new_recorder(store, clock)
        recorder.on_message(tick(1, "1"))
        other = sqlite3.connect(store.database.place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                await tasks.start(recorder.run)
                tasks.cancel_scope.cancel()
        other.close()
        assert recorder.statistics().queued == 1


async def test_the_queue_keeps_a_day(sqlite_url: str, clock: Clock) -> None:
    """Of a longer absence the newest day is kept and the rest is counted."""
    async with StoredHistory(sqlite_url, lock_seconds=0.01) as store:
        await store.migrate()
        recorder = await new_recorder(store, clock)
        other = sqlite3.connect(store.database.place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        day = QUEUE_SECONDS // 60
        for n in range(day + 100):
            recorder.on_message(tick(n * 60, str(n)))
        await recorder.write()
        other.close()
        await recorder.write()
        statistics = recorder.statistics()
        assert (statistics.dropped, statistics.written) == (
            98,
            day,
        )  # the last slot is open, the one before in its grace
        assert min(await stored(store)) == 98


async def test_a_tick_of_the_far_future_does_not_empty_the_queue(store: StoredHistory, clock: Clock) -> None:
    """One wrong timestamp costs at most itself."""
    recorder = await new_recorder(store, clock)
    recorder.on_message(tick(0, "1"))
    recorder.on_message(tick(10 * QUEUE_SECONDS, "666"))
    recorder.on_message(tick(60, "2"))
    await recorder.write()
    assert {n: p for n, p in (await stored(store)).items() if n < 10} == {0: "1", 1: "2"}


def test_says_what_it_is(sqlite_url: str) -> None:
    """Its representation names interval and queue."""
    assert (
        repr(Recorder(StoredHistory(sqlite_url), interval=60, epoch=1)) == "<Recorder every 60 s, 0 queued, 0 written>"
    )
