"""Another process that holds SQLite's lock while prices are recorded.

`CRYPTOMARKET_LOCKED` sets for how many seconds; the default is quick, 30 is what we promise to bear.
"""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal

import anyio
from structlog.testing import capture_logs

from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Tick
from tests.databases import StoredHistory

from .test_recorder import DOWN_AND_UP, SLOT, until

SECONDS = float(os.environ.get("CRYPTOMARKET_LOCKED", "1"))

#: Takes the lock, says so, and gives it back when its input ends.
HOLD = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
other.execute("COMMIT")
"""


@contextmanager
def locked_by_another(place: str) -> Iterator[None]:
    """The database in the hands of another process, to the end of the block."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLD, place], text=True, **pipes) as other:  # type: ignore[call-overload]
        assert other.stdout.readline() == "locked\n"
        yield
        other.communicate(timeout=60)
    assert other.returncode == 0


async def test_a_lock_of_another_process_delays_and_loses_nothing(sqlite_url: str) -> None:
    """Pages are answered meanwhile, no task dies, the loop stays free, and every slot is there once afterwards."""
    async with StoredHistory(sqlite_url, interval=1, lock_seconds=SECONDS / 6) as store:
        await store.migrate()
        recorder = Recorder(store, interval=1, epoch=await store.take_epoch())
        sent = 0

        async def tick() -> None:
            nonlocal sent
            while True:
                recorder.on_message(Tick("btc_usd", Decimal(sent), SLOT * 1000 + sent * 100, epoch=1))
                sent += 1
                await anyio.sleep(0.02)

        with capture_logs() as logs:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tick)
                await tasks.start(recorder.run)
                await until(lambda: recorder.statistics().written > 2)
                with locked_by_another(store.database.place):
                    before, end = sent, time.monotonic() + SECONDS
                    while time.monotonic() < end:
                        assert (await store.latest("btc_usd")) is not None
                        await anyio.sleep(0.02)
                    await until(lambda: recorder.statistics().database_down)
                    assert sent > before
                await until(lambda: not recorder.statistics().database_down)
                tasks.cancel_scope.cancel()
        last = (sent - 1) // 10
        rows = (await store.prices("btc_usd", limit=10_000)).data
        assert [row.timestamp for row in rows] == list(range(SLOT, SLOT + last + 1))
        assert [row.price for row in rows] == [min(10 * n + 9, sent - 1) for n in range(last + 1)]
        assert (await store.coverage("btc_usd", SLOT, SLOT + last + 1)).complete
    assert [line["event"] for line in logs] == DOWN_AND_UP
    with closing(sqlite3.connect(store.database.place)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
