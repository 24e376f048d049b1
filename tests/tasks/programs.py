"""A worker and a beat of Celery as its users run them: real processes."""

import re
import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio

from cryptomarket.model import Price
from cryptomarket.simulator.exchange import Exchange
from tests.databases import StoredHistory
from tests.processes import Program, environment, running_command
from tests.redis_server import RedisServer

__all__ = ["beat", "celery", "durations", "rows_of", "settings_for", "until_stored", "worker"]


def celery(folder: Path, *arguments: str, **settings: object) -> AbstractAsyncContextManager[Program]:
    """A running `celery -A cryptomarket.tasks.celery ...`."""
    command = [sys.executable, "-m", "celery", "-A", "cryptomarket.tasks.celery", *arguments]
    return running_command(folder, command, environment(folder, **settings))


def worker(folder: Path, *options: str, **settings: object) -> AbstractAsyncContextManager[Program]:
    return celery(folder, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", *options, **settings)


def beat(folder: Path, **settings: object) -> AbstractAsyncContextManager[Program]:
    return celery(folder, "beat", "--schedule", str(folder / "beat"), **settings)


def settings_for(url: str, exchange: Exchange, redis: RedisServer) -> dict[str, object]:
    """A slot and a snapshot every second."""
    return {
        "database_url": url,
        "redis_url": redis.url,
        "deribit_ws_url": exchange.ws_url,
        "deribit_http_url": exchange.http_url,
        "snapshot_interval": 1,
        "celery_interval": 1,
        "node": "tasks",
    }


async def rows_of(url: str, ticker: str = "btc_usd") -> list[Price]:
    async with StoredHistory(url, interval=1, pooled=False) as store:
        return list((await store.prices(ticker)).data)


async def until_stored(url: str, source: str, slots: int, ticker: str = "btc_usd") -> list[Price]:
    """The rows, once so many slots come from the source."""
    with anyio.fail_after(240):  # a busy machine starts programs slowly
        while True:
            rows = await rows_of(url, ticker)
            if sum(row.source == source for row in rows) >= slots:
                return rows
            await anyio.sleep(0.2)


def durations(program: Program, returned: int) -> list[float]:
    """How many seconds each finished snapshot took that returned this number."""
    finished = rf"currency\[[^]]+\] succeeded in ([0-9.]+)s: {returned}\b"
    return [float(found) for found in re.findall(finished, program.log)]
