"""Generated outage scripts against a world whose truth is known: rows and ledger equal it, and nothing is made up.

`CRYPTOMARKET_SCRIPTS` sets how many are played on SQLite, PostgreSQL plays a tenth; the default is quick.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from cryptomarket.history.intervals import Kind
from tests.databases import Postgres, StoredHistory

from .scripts import INTERVAL, TICKERS, World
from .test_ledger import entries_of

pytestmark = pytest.mark.system

SCRIPTS = int(os.environ.get("CRYPTOMARKET_SCRIPTS", "20"))
SLOTS = 22


async def check(world: World) -> None:
    """Assert that rows are the expected prices, that the ledger equals the rows, and that a backfill completes them."""
    store = world.store
    for ticker in TICKERS:
        rows = {row.timestamp: row for row in (await store.prices(ticker, limit=10_000)).data}
        assert {slot: row.price for slot, row in rows.items()} == {
            slot: price for (name, slot), price in world.expected.items() if name == ticker
        }
        for slot, row in rows.items():
            assert row.price == world.price(ticker, row.exchange_timestamp)
            assert slot == row.exchange_timestamp // 1000 // INTERVAL * INTERVAL
        assert await observed(store, ticker) == set(rows)
    await world.pass_time(INTERVAL + 12)
    holes = len(await store.missing())
    filled = await world.backfill().fill_all()
    assert bool(filled) == bool(holes)
    for ticker in TICKERS:
        rows = {row.timestamp: row for row in (await store.prices(ticker, limit=10_000)).data}
        # Everything lies within the last hour, so everything could be filled.
        assert sorted(rows) == list(range(min(rows), max(rows) + INTERVAL, INTERVAL))
        coverage = await store.coverage(ticker, min(rows), max(rows) + INTERVAL)
        assert coverage.complete
        live = {slot for slot, row in rows.items() if row.source == "live"}
        assert live == {slot for name, slot in world.expected if name == ticker}
        assert await observed(store, ticker) == live
    assert await world.backfill().fill_all() == 0


async def observed(store: StoredHistory, ticker: str) -> set[int]:
    """The slots the ledger calls observed; on the way, that it has neither overlap nor hole."""
    entries = await entries_of(store, ticker)
    coverage = await store.coverage(ticker, entries[0][0], entries[-1][1])
    assert [(interval.start, interval.end, interval.kind) for interval in coverage.intervals] == entries
    assert all(interval.reason in REASONS for interval in coverage.intervals if interval.kind is Kind.MISSING)
    return {
        slot
        for interval in coverage.intervals
        if interval.kind is Kind.OBSERVED
        for slot in range(interval.start, interval.end, INTERVAL)
    }


REASONS = {"restart", "upstream", "silent", "unrecorded"}


async def play(seed: int, url: str) -> None:
    """One script from the first start to the last check."""
    async with StoredHistory(url, interval=INTERVAL) as store:
        await store.migrate()
        world = World(seed, store)
        try:
            await world.play(SLOTS)
            await check(world)
        except AssertionError as exc:
            raise AssertionError(f"script {seed}") from exc


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A migrated, empty SQLite file; on a disk of memory where there is one, since a script commits often."""
    memory = Path("/dev/shm")
    folder = memory / f"cm-scripts-{os.getpid()}" if os.access(memory, os.W_OK) else tmp_path_factory.mktemp("scripts")
    folder.mkdir(exist_ok=True)

    async def make() -> None:
        async with StoredHistory(f"sqlite+aiosqlite:///{folder / 'empty.db'}") as store:
            await store.migrate()

    anyio.run(make)
    yield folder / "empty.db"
    shutil.rmtree(folder)


async def test_rows_and_ledger_equal_the_truth_on_sqlite(empty: Path) -> None:
    """Cuts, restarts, kills, absences of the database, duplicates, late ticks and clock steps, in any order."""
    for seed in range(SCRIPTS):
        path = empty.with_name(f"script-{seed}.db")
        shutil.copy(empty, path)
        await play(seed, f"sqlite+aiosqlite:///{path}")
        path.unlink()


async def test_rows_and_ledger_equal_the_truth_on_postgresql(postgres: Postgres) -> None:
    """The same scripts against a real PostgreSQL."""
    url = postgres.create()
    for seed in range(max(4, SCRIPTS // 10)):
        async with StoredHistory(url) as store:
            await store.migrate()
            async with store.database.writers.begin() as connection:
                await connection.execute(text("TRUNCATE prices, ledger, bars, candles"))
        await play(seed, url)
