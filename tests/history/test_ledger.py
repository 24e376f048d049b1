"""The ledger and the candles beside the rows: they are what the rows say, whatever the order and whoever wrote."""

import random
from dataclasses import asdict
from decimal import Decimal
from itertools import pairwise

import anyio
import pytest
from alembic import command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select

from cryptomarket.database.migrate import alembic_config
from cryptomarket.database.schema import ledger
from cryptomarket.database.schema import prices as prices_table
from cryptomarket.history.candles import RESOLUTIONS, Candle, MinuteBar, combine, fold, minute
from cryptomarket.history.intervals import Coverage, Reason
from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Price, Source, Tick, Upstream, UpstreamState
from tests.databases import StoredHistory

from .test_recorder import Clock, new_recorder, tick
from .test_store import SLOT, price


def said(coverage: Coverage) -> list[tuple[int, int, str]]:
    """Intervals by slot number: (first, end, kind and what goes with it)."""
    return [
        (
            (interval.start - SLOT) // 60,
            (interval.end - SLOT) // 60,
            ":".join(filter(None, [interval.kind, interval.source, interval.reason])),
        )
        for interval in coverage.intervals
    ]


async def whole(store: StoredHistory, slots: int) -> list[tuple[int, int, str]]:
    """What the ledger says of the first slots."""
    return said(await store.coverage("btc_usd", SLOT, SLOT + 60 * slots))


async def entries_of(store: StoredHistory, ticker: str = "btc_usd") -> list[tuple[int, int, str]]:
    """The ledger's rows as they stand in the database, after checking that they neither overlap nor leave a hole."""
    async with store.database.readers.connect() as connection:
        chosen = select(ledger.c.start, ledger.c.end, ledger.c.kind).where(ledger.c.ticker == ticker)
        rows = [(row[0], row[1], row[2]) for row in await connection.execute(chosen.order_by(ledger.c.start))]
    assert all(left[1] == right[0] for left, right in pairwise(rows))
    return rows


async def test_recorded_slots_are_observed(store: StoredHistory) -> None:
    """Slots that follow each other are one interval, and complete."""
    epoch = await store.take_epoch()
    for n in range(3):
        await store.write_live([price(SLOT + 60 * n, epoch=epoch)], epoch)
    assert await whole(store, 3) == [(0, 3, "observed")]
    assert (await store.coverage("btc_usd", SLOT, SLOT + 180)).complete


async def test_a_hole_is_missing_until_it_is_filled(store: StoredHistory) -> None:
    """A missing interval has its reason, a filled one its source, and neither is observed."""
    epoch = await store.take_epoch()
    await store.write_live([price(SLOT, epoch=epoch), price(SLOT + 240, epoch=epoch)], epoch)
    assert await whole(store, 5) == [(0, 1, "observed"), (1, 4, "missing:unrecorded"), (4, 5, "observed")]
    assert not (await store.coverage("btc_usd", SLOT, SLOT + 300)).complete
    await store.insert_missing([price(SLOT + 60 * n, source="chart") for n in (0, 1, 2)])
    await store.mark_missing("btc_usd", SLOT, SLOT + 300, Reason.COARSE)
    assert await whole(store, 5) == [
        (0, 1, "observed"),
        (1, 3, "backfilled:chart"),
        (3, 4, "missing:coarse"),
        (4, 5, "observed"),
    ]


async def test_a_late_slot_is_no_hole_any_more(store: StoredHistory) -> None:
    """A slot that is written after the next ones closes its hole."""
    epoch = await store.take_epoch()
    await store.write_live([price(SLOT, epoch=epoch), price(SLOT + 120, epoch=epoch)], epoch)
    await store.write_live([price(SLOT + 60, epoch=epoch)], epoch)
    await store.write_live([price(SLOT + 180, epoch=epoch)], epoch)
    assert await whole(store, 4) == [(0, 4, "observed")]
    assert await entries_of(store) == [(SLOT, SLOT + 240, "observed")]


async def test_a_deposed_leader_changes_neither_ledger_nor_candles(store: StoredHistory) -> None:
    """What is refused leaves no trace."""
    old = await store.take_epoch()
    await store.take_epoch()
    bar = MinuteBar.of(Tick("btc_usd", Decimal(1), SLOT * 1000), old, 1)
    assert not await store.write_live([price(SLOT, epoch=old)], old, bars=[bar])
    assert await whole(store, 1) == [(0, 1, "missing:unrecorded")]
    assert await store.candles("btc_usd", "1m") == []


async def test_the_recorder_says_why(store: StoredHistory) -> None:
    """Before the start it was the restart, while the link was down the upstream, else the exchange was silent."""
    clock = Clock()
    await store.write_live([price(SLOT, epoch=1)], await store.take_epoch())
    recorder = Recorder(store, interval=60, epoch=await store.take_epoch(), wall=lambda: SLOT + 150.0, monotonic=clock)
    recorder.on_message(tick(181, "1", epoch=2))
    clock.now += 60
    recorder.on_message(Upstream(UpstreamState.DOWN, 0, "connection lost"))
    clock.now += 100
    recorder.on_message(Upstream(UpstreamState.LIVE, 0))
    clock.now += 140
    recorder.on_message(tick(481, "2", epoch=2))
    await recorder.write(with_open=True)
    assert await whole(store, 9) == [
        (0, 1, "observed"),
        (1, 3, "missing:restart"),
        (3, 4, "observed"),
        (4, 6, "missing:upstream"),
        (6, 8, "missing:silent"),
        (8, 9, "observed"),
    ]


async def test_maintenance_is_told_apart(store: StoredHistory) -> None:
    """What the exchange announces is not called an outage of ours."""
    clock = Clock()
    recorder = Recorder(store, interval=60, epoch=await store.take_epoch(), wall=lambda: SLOT, monotonic=clock)
    recorder.on_message(tick(1, "1"))
    recorder.on_message(Upstream(UpstreamState.DOWN, 0, "11051 system_maintenance"))
    clock.now += 190
    recorder.on_message(Upstream(UpstreamState.LIVE, 0))
    recorder.on_message(tick(191, "1"))
    await recorder.write(with_open=True)
    assert await whole(store, 4) == [(0, 1, "observed"), (1, 3, "missing:maintenance"), (3, 4, "observed")]


async def test_a_ticker_nobody_asked_for_is_not_silent(store: StoredHistory) -> None:
    """A ticker recorded on demand is missing with the reason that no stream requested it."""
    clock = Clock()
    recorder = Recorder(
        store, interval=60, epoch=await store.take_epoch(), configured=["eth_usd"], wall=lambda: SLOT, monotonic=clock
    )
    recorder.on_message(tick(1, "1"))
    clock.now += 120
    recorder.on_message(tick(121, "1"))
    await recorder.write(with_open=True)
    assert await whole(store, 3) == [(0, 1, "observed"), (1, 2, "missing:unasked"), (2, 3, "observed")]


async def test_two_writers_leave_one_ledger(store: StoredHistory) -> None:
    """A backfill beside the recorder neither overlaps nor loses an entry."""
    epoch = await store.take_epoch()

    async def record() -> None:
        for n in range(0, 60, 3):
            await store.write_live([price(SLOT + 60 * n, epoch=epoch)], epoch)

    async def fill() -> None:
        for n in range(60):
            await store.insert_missing([price(SLOT + 60 * n, source="chart")])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(record)
        tasks.start_soon(fill)
    entries = await whole(store, 60)
    assert entries[0][0] == 0
    assert entries[-1][1] == 60
    assert all(left[1] == right[0] for left, right in pairwise(entries))
    assert [entry[0] for entry in entries if entry[2] == "observed"] == list(range(0, 60, 3))


async def test_a_bar_has_what_the_ticks_between_did(store: StoredHistory) -> None:
    """A candle of a minute has the highest and lowest tick, not only the stored one, and counts them."""
    recorder = await new_recorder(store, Clock())
    for seconds, value in [(1, "5"), (20, "9"), (30, "2"), (59, "6"), (61, "7"), (121.5, "1")]:
        recorder.on_message(tick(seconds, value))
    await recorder.write()
    [first, second] = [candle.exact() for candle in await store.candles("btc_usd", "1m")]
    assert first == Candle(SLOT, Decimal(5), Decimal(9), Decimal(2), Decimal(6), 4)
    assert second == Candle(SLOT + 60, *(Decimal(7),) * 4, 1)
    [day] = await store.candles("btc_usd", "1d")
    assert (day.open, day.high, day.low, day.close, day.count) == ("5", "9", "2", "7", 5)
    assert day.partial
    assert day.timestamp % 86_400 == 0


async def test_a_late_tick_widens_its_candles(store: StoredHistory) -> None:
    """A tick that comes after its minute was written adds to it and does not replace it."""
    clock = Clock()
    recorder = await new_recorder(store, clock)
    for seconds, value in [(1, "5"), (59, "6"), (121.5, "1")]:
        recorder.on_message(tick(seconds, value))
    await recorder.write()
    recorder.on_message(tick(30, "99"))
    await recorder.write()
    [minute_] = await store.candles("btc_usd", "1m", end=SLOT + 60)
    assert minute_.exact() == Candle(SLOT, Decimal(5), Decimal(99), Decimal(5), Decimal(6), 3)
    assert (await store.candles("btc_usd", "4h"))[0].high == "99"


async def test_a_killed_process_leaves_candles_to_make(store: StoredHistory, database_url: str) -> None:
    """Rows whose minute never closed become candles at the next start."""
    epoch = await store.take_epoch()
    async with StoredHistory(database_url, interval=1) as seconds:
        for n in range(30):
            row = Price("btc_usd", SLOT + n, Decimal(n), (SLOT + n) * 1000, Source.LIVE, epoch)
            await seconds.write_live([row], epoch)
    async with StoredHistory(database_url, interval=1) as again:
        await again.migrate()
        [candle] = await again.candles("btc_usd", "1m")
    assert (candle.open, candle.high, candle.low, candle.close, candle.count) == ("0", "29", "0", "29", 30)
    assert candle.partial


async def test_migrates_forward_with_data_in_place(database_url: str) -> None:
    """Rows of the first release get their ledger and their candles."""
    async with StoredHistory(database_url) as store:
        async with store.database.writers.begin() as connection:
            await connection.run_sync(first_release)
            for n, source in [(0, "live"), (1, "live"), (2, "simulated"), (5, "live"), (6, "live")]:
                row = price(SLOT + 60 * n, "1.50", source=source)
                await connection.execute(insert(prices_table), [asdict(row)])
        await store.migrate()
        assert await whole(store, 8) == [
            (0, 2, "observed"),
            (2, 3, "backfilled:simulated"),
            (3, 5, "missing:unrecorded"),
            (5, 7, "observed"),
            (7, 8, "missing:unrecorded"),
        ]
        assert [candle.count for candle in await store.candles("btc_usd", "15m")] == [5]


def first_release(connection: Connection) -> None:
    """The database as the first release made it."""
    command.upgrade(alembic_config(connection), "0001")


rows = st.lists(
    st.tuples(
        st.integers(0, 400),  # the minute
        st.integers(0, 59_999),  # ms within it
        st.decimals("0.00000001", "999999999", places=8, allow_nan=False),
    ),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[0],
)


@pytest.mark.system
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows, chance=st.randoms(use_true_random=False))
def test_rolling_up_equals_computing_anew(
    rows: list[tuple[int, int, Decimal]], chance: random.Random, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the order and the pieces in which rows arrive, every candle is what all its rows together make."""
    prices = [
        Price("btc_usd", SLOT + 60 * m, value, (SLOT + 60 * m) * 1000 + ms, Source.LIVE, 1) for m, ms, value in rows
    ]
    shuffled = list(prices)
    chance.shuffle(shuffled)
    path = tmp_path_factory.mktemp("roll") / "prices.db"

    async def rolled_up() -> dict[str, list[Candle]]:
        async with StoredHistory(f"sqlite+aiosqlite:///{path}") as store:
            await store.migrate()
            epoch = await store.take_epoch()
            while shuffled:
                piece = [shuffled.pop() for _ in range(min(len(shuffled), chance.randint(1, 7)))]
                if chance.random() < 0.5:
                    await store.write_live(piece, epoch)
                else:
                    await store.insert_missing(piece)
            found = {name: await store.candles("btc_usd", name) for name in RESOLUTIONS}
            return {name: [candle.exact() for candle in of_name] for name, of_name in found.items()}

    for name, found in anyio.run(rolled_up).items():
        seconds = RESOLUTIONS[name]
        minutes = [fold(p.timestamp, [], [p]) for p in sorted(prices, key=lambda p: p.timestamp)]
        expected: dict[int, list[Candle]] = {}
        for candle in minutes:
            assert candle is not None
            expected.setdefault(candle.timestamp - candle.timestamp % seconds, []).append(candle)
        computed = [combine(bucket, parts) for bucket, parts in sorted(expected.items())]
        assert [(c.timestamp, c.open, c.high, c.low, c.close, c.count) for c in found] == [
            (c.timestamp, c.open, c.high, c.low, c.close, c.count) for c in computed
        ]


def test_a_price_within_a_bars_span_is_not_counted_twice() -> None:
    """The stored price of a slot is one of the ticks its bar has seen."""
    ticks = [Tick("btc_usd", Decimal(n), (SLOT + n) * 1000) for n in (5, 9)]
    bar = MinuteBar.of(ticks[0], 1, 1).with_tick(ticks[1])
    inside = Price("btc_usd", SLOT, Decimal(9), (SLOT + 9) * 1000)
    before = Price("btc_usd", SLOT, Decimal(2), (SLOT + 2) * 1000)
    assert minute(inside.exchange_timestamp) == SLOT
    assert fold(SLOT, [bar], [inside]) == Candle(SLOT, Decimal(5), Decimal(9), Decimal(5), Decimal(9), 2)
    assert fold(SLOT, [bar], [before, inside]) == Candle(SLOT, Decimal(2), Decimal(9), Decimal(2), Decimal(9), 3)
