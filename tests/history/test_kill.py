"""Kill -9 in the midst of writing, again and again: no row told is lost, none is doubled, none is wrong."""

import random
import subprocess
import sys

import anyio
import pytest

from tests.databases import StoredHistory

from .recording import INTERVAL, price_at

pytestmark = pytest.mark.system

FIRST = 1_763_668_800 - 1_763_668_800 % INTERVAL


def record_and_kill(url: str, first_slot: int, slots: int) -> list[int]:
    """Let a process record so many slots, kill it, and return those it said were written."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.history.recording", url, str(first_slot)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(slots)]
    process.kill()
    told += [int(line) for line in process.stdout.read().splitlines()]
    process.stdout.close()
    process.wait(10)
    return told


async def test_a_killed_recorder_loses_and_doubles_nothing(database_url: str) -> None:
    """Every slot told is there once after the restart, with the last price of that slot."""
    chance = random.Random(7)
    told: list[int] = []
    for _ in range(4):
        first = told[-1] if told else FIRST
        told += await anyio.to_thread.run_sync(record_and_kill, database_url, first, chance.randint(1, 30))
    async with StoredHistory(database_url) as store:
        for ticker in ("btc_usd", "eth_usd"):
            rows = {row.timestamp: row for row in (await store.prices(ticker, limit=10_000)).data}
            assert set(told) <= set(rows)
            whole = range(FIRST, max(rows) + 1, INTERVAL)
            assert sorted(rows) == list(whole)
            coverage = await store.coverage(ticker, FIRST, max(rows) + INTERVAL)
            assert coverage.complete
            assert len(coverage.intervals) == 1
            for slot, row in rows.items():
                assert row.price == price_at(row.exchange_timestamp)
                assert row.exchange_timestamp == (slot + INTERVAL * 3 // 4) * 1000
