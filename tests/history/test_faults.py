"""What machines do: a database killed in the midst of writes, a full disk; and what readers see meanwhile."""

import asyncio
import os
import random
import subprocess
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from itertools import cycle
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryptomarket.history.pages import Order
from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Price, Source, exact_price, plain
from tests.databases import Postgres, StoredHistory

from .test_recorder import Clock, new_recorder, stored, tick
from .test_store import SLOT, price

pytestmark = pytest.mark.system


async def test_postgresql_killed_in_the_midst_of_writes(postgres: Postgres, postgres_url: str) -> None:
    """Whatever moment it dies at, every slot is there once afterwards, and the ledger agrees."""
    async with StoredHistory(postgres_url) as store:
        await store.migrate()
        clock = Clock()
        recorder = await new_recorder(store, clock)
        chance = random.Random(5)
        slots = 0

        async def record(until: int) -> None:
            nonlocal slots
            while slots < until:
                for ticker in ("btc_usd", "eth_usd"):
                    recorder.on_message(tick(60 * slots + 30, str(slots), ticker=ticker))
                slots += 1
                await recorder.write()

        await record(20)
        for _ in range(3):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(record(slots + 60))
                await asyncio.sleep(chance.uniform(0.0, 0.15))
                await asyncio.to_thread(postgres.kill)
            assert recorder.statistics().database_down
            await asyncio.to_thread(postgres.start)
        await recorder.write(with_open=True)
        assert recorder.statistics().queued == 0
        for ticker in ("btc_usd", "eth_usd"):
            assert await stored(store, ticker) == {n: str(n) for n in range(slots)}
            assert (await store.coverage(ticker, SLOT, SLOT + 60 * slots)).complete


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(path: Path) -> None:
    """Write until there is no room; raises the system's error."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


async def test_a_full_disk_delays_and_loses_nothing(small_disk: Path) -> None:
    """While the disk is full slots wait; when there is room again they are written, and the file is whole."""
    async with StoredHistory(f"sqlite+aiosqlite:///{small_disk / 'prices.db'}") as store:
        await store.migrate()
        recorder = await new_recorder(store, Clock())
        recorder.on_message(tick(30, "0"))
        await recorder.write(with_open=True)
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill_disk(filler)
        for n in range(1, 200):
            recorder.on_message(tick(60 * n + 30, str(n)))
        await recorder.write(with_open=True)
        assert recorder.statistics().database_down
        assert recorder.statistics().queued == 199
        assert await stored(store) == {0: "0"}
        filler.unlink()
        await recorder.write(with_open=True)
        assert await stored(store) == {n: str(n) for n in range(200)}
        check = await store.database.read(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar())
        assert check == "ok"


#: Which of 120 slots stand when the reading begins, how large a page is, and what is written after each.
SLOTS = 120
readings = st.tuples(
    st.sets(st.integers(0, SLOTS - 1), min_size=40, max_size=60),
    st.integers(4, 20),
    st.sampled_from(["asc", "desc"]),
    st.lists(st.tuples(st.integers(0, SLOTS + 20), st.booleans()), min_size=1, max_size=20),
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reading=readings)
def test_pages_are_whole_while_rows_are_written(
    reading: tuple[set[int], int, Order, list[tuple[int, bool]]], database_url: str
) -> None:
    """Each row that stood when the reading began is seen once and in order, whatever is written meanwhile."""
    standing, limit, order, writes = reading

    async def check() -> None:
        async with StoredHistory(database_url) as store:
            await store.migrate()
            epoch = await store.take_epoch()
            ticker = f"t{uuid.uuid4().hex}"

            def row(slot: int, source: str) -> Price:
                return price(SLOT + 60 * slot, ticker=ticker, epoch=epoch, source=source)

            await store.write_live([row(slot, Source.LIVE) for slot in standing], epoch)
            seen: list[int] = []
            after = None
            for slot, live in cycle(writes):
                page = await store.prices(ticker, limit=limit, after=after, order=order)
                seen += [(found.timestamp - SLOT) // 60 for found in page.data]
                after = page.next
                if after is None:
                    break
                if live:
                    await store.write_live([row(slot, Source.LIVE)], epoch)
                else:
                    await store.insert_missing([row(slot, Source.BACKFILL)])
            assert seen == sorted(set(seen), reverse=order == "desc")
            assert standing <= set(seen) <= standing | {slot for slot, _ in writes}

    anyio.run(check)


digits = st.builds(
    lambda whole, fraction, places: exact_price(f"{whole}.{fraction:0{places}}" if places else str(whole)),
    st.integers(0, 10**9 - 1),
    st.integers(0, 10**9 - 1),
    st.sampled_from([0, 9]),
) | st.sampled_from([exact_price(text) for text in ("8.7e3", "0.000000001", "999999999.999999999", "64250.10", "0")])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prices=st.lists(digits, min_size=1, max_size=30))
def test_eighteen_digits_survive_every_form(prices: list[Decimal], database_url: str) -> None:
    """Objects, JSON, NDJSON, CSV and candles say the digits that came, on both databases."""

    async def check() -> None:
        async with StoredHistory(database_url) as store:
            await store.migrate()
            ticker = f"t{uuid.uuid4().hex}"
            rows = [Price(ticker, SLOT + 60 * n, value, (SLOT + 60 * n) * 1000) for n, value in enumerate(prices)]
            await store.insert_missing(rows)
            said = [plain(value) for value in prices]
            assert [plain(row.price) for row in (await store.prices(ticker)).data] == said
            text = (await store.text_page("ndjson", ticker)).text
            assert text == "".join(row.json() + "\n" for row in rows)
            lines = (await store.text_page("csv", ticker)).text.splitlines()
            assert [line.split(",")[2] for line in lines] == said
            assert [candle.close for candle in await store.candles(ticker, "1m")] == said

    anyio.run(check)


async def test_the_recorder_is_cheap_to_feed(store: StoredHistory) -> None:
    """A tick costs the event loop some microseconds, so a thousand a second are nothing."""
    recorder = Recorder(store, interval=60, epoch=await store.take_epoch())
    ticks = [tick(n / 100, "64250.13", ticker=f"t{n % 60}") for n in range(20_000)]
    used = time.process_time()
    for each in ticks:
        recorder.on_message(each)
    assert time.process_time() - used < 2
