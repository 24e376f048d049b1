"""Kills a recorder while it writes, repeatedly: no reported row is lost, duplicated or wrong."""

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
    """Let a process record ``slots`` slots, kill it, and return those that it reported as written."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.history.recording", url, str(first_slot)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(slots)]
    process.kill()
    reported += [int(line) for line in process.stdout.read().splitlines()]
    process.stdout.close()
    process.wait(10)
    return reported


async def test_a_killed_recorder_neither_loses_nor_duplicates_rows(database_url: str) -> None:
    """Every reported slot is stored once after the restart, with its last price."""
    chance = random.Random(7)
    reported: list[int] = []
    for _ in range(4):
        first = reported[-1] if reported else FIRST
        reported += await anyio.to_thread.run_sync(record_and_kill, database_url, first, chance.randint(1, 30))
    async with StoredHistory(database_url) as store:
        for ticker in ("btc_usd", "eth_usd"):
            rows = {row.timestamp: row for row in (await store.prices(ticker, limit=10_000)).data}
            assert set(reported) <= set(rows)
            whole = range(FIRST, max(rows) + 1, INTERVAL)
            assert sorted(rows) == list(whole)
            coverage = await store.coverage(ticker, FIRST, max(rows) + INTERVAL)
            assert coverage.complete
            assert len(coverage.intervals) == 1
            for slot, row in rows.items():
                assert row.price == price_at(row.exchange_timestamp)
                assert row.exchange_timestamp == (slot + INTERVAL * 3 // 4) * 1000
