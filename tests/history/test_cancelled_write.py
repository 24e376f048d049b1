"""A write that is cancelled, as at a stop, does not stand in the way of the last one."""

from collections.abc import Callable, Coroutine
from decimal import Decimal
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import pytest

from cryptomarket.model import Price, Source
from tests.databases import StoredHistory

pytestmark = pytest.mark.system


async def test_a_cancelled_write_leaves_the_writer_free(tmp_path: Path) -> None:
    """The last rows are written at once after a long insert and the daily maintenance were cancelled."""
    many = [Price("btc_usd", slot, Decimal(1), slot * 1000, Source.SIMULATED) for slot in range(40_000)]
    async with StoredHistory(f"sqlite+aiosqlite:///{tmp_path / 'x.db'}", lock_seconds=0.2) as store:
        await store.migrate()
        epoch = await store.take_epoch()
        works: list[Callable[[], Coroutine[Any, Any, object]]] = [
            partial(store.insert_missing, many),
            store.database.tidy,
        ]
        for pause, work in product((0.0, 0.001, 0.005, 0.02, 0.05), works):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
                await anyio.sleep(pause)
                tasks.cancel_scope.cancel()
            with anyio.fail_after(60):
                assert await store.write_live([Price("eth_usd", 60, Decimal(2), 60_000, epoch=epoch)], epoch)
