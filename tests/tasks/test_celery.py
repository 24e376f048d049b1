"""A worker and a beat of Celery as its users run them: real processes, a real Redis, the simulated exchange."""

import base64
import json
import sys
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from cryptomarket.history.daily_jobs import finished_jobs
from cryptomarket.model import Price
from cryptomarket.simulator.exchange import Exchange, running_exchange
from cryptomarket.tasks.snapshot import SOURCE
from tests.databases import StoredHistory
from tests.processes import Program, environment, eventually, running_command
from tests.redis_server import RedisServer, running_redis

QUEUE = "cryptomarket:celery:high"
NAME = "cryptomarket.tasks.celery.task_add_every_60_seconds.task_celery_monitoring_currency"


def celery(folder: Path, *arguments: str, **settings: object) -> AbstractAsyncContextManager[Program]:
    """A running `celery -A cryptomarket.tasks.celery ...`."""
    command = [sys.executable, "-m", "celery", "-A", "cryptomarket.tasks.celery", *arguments]
    return running_command(folder, command, environment(folder, **settings))


def worker(folder: Path, **settings: object) -> AbstractAsyncContextManager[Program]:
    return celery(folder, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", **settings)


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


async def until_stored(url: str, source: str, slots: int) -> list[Price]:
    """The rows, once so many slots come from the source."""
    with anyio.fail_after(240):  # a busy machine starts programs slowly
        while True:
            rows = await rows_of(url)
            if sum(row.source == source for row in rows) >= slots:
                return rows
            await anyio.sleep(0.2)


async def sent(redis: RedisServer) -> dict[str, Any]:
    """The oldest message that waits for a worker."""
    async with Redis.from_url(redis.url) as client:
        with anyio.fail_after(240):
            while not (found := await client.lindex(QUEUE, -1)):
                await anyio.sleep(0.1)
    return dict(json.loads(found))


@pytest.mark.system
async def test_a_worker_and_a_beat_store_each_slot_once(tmp_path: Path, postgres_url: str) -> None:
    """Beat sends by the agreed name, queue and routing key; the worker stores; a killed worker's successor goes on."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis, StoredHistory(postgres_url) as store:
        await store.migrate()
        settings = settings_for(postgres_url, exchange, redis)
        async with beat(tmp_path, **settings):
            message = await sent(redis)
            assert message["headers"]["task"] == NAME
            assert message["properties"]["delivery_info"]["routing_key"] == "high.priority"
            assert json.loads(base64.b64decode(message["body"]))[:2] == [[], {}]
            async with worker(tmp_path, **settings) as killed:
                await until_stored(postgres_url, SOURCE, 2)
                killed.process.kill()
            before = len(await rows_of(postgres_url))
            async with worker(tmp_path, **settings) as program:
                rows = await until_stored(postgres_url, SOURCE, before + 2)
                assert await program.stop(seconds=60) == 0
        assert max(Counter(row.timestamp for row in rows).values()) == 1
        assert {row.source for row in rows} == {SOURCE}
        assert all(json.loads(line)["node"] == "tasks" for line in program.log.splitlines() if line.startswith("{"))


@pytest.mark.system
async def test_a_task_is_repeated_when_the_exchange_is_away(tmp_path: Path, sqlite_url: str) -> None:
    """A worker without an exchange says so, tries again, and ends as cleanly as ever."""
    async with running_redis(tmp_path) as redis, running_exchange() as exchange:
        settings = settings_for(sqlite_url, exchange, redis) | {"deribit_http_url": "http://127.0.0.1:1/api/v2"}
        async with StoredHistory(sqlite_url) as store:
            await store.migrate()
        async with beat(tmp_path, **settings), worker(tmp_path, **settings) as program:
            await eventually(lambda: "Retry in" in program.log, "the task is repeated", 240)
            assert await program.stop(seconds=60) == 0
        assert await rows_of(sqlite_url) == []


@pytest.mark.parametrize("command", ["worker", "beat"])
async def test_without_redis_celery_is_told_what_is_missing(tmp_path: Path, command: str) -> None:
    """There is no broker to guess."""
    async with celery(tmp_path, command, redis_url="") as program:
        with anyio.fail_after(240):
            assert await program.process.wait() != 0
        assert "CRYPTOMARKET_REDIS_URL" in program.log + program.out


async def test_maintenance_runs_once_a_day(tmp_path: Path, sqlite_url: str) -> None:
    """Called twice, the second finds everything done."""
    code = (
        "from cryptomarket.tasks.celery import app\n"
        "app.loader.import_default_modules()\n"
        "from cryptomarket.tasks.celery import MAINTENANCE\n"
        "[app.tasks[MAINTENANCE].apply(throw=True) for _ in range(2)]"
    )
    env = environment(tmp_path, database_url=sqlite_url, redis_url="redis://127.0.0.1:1/0")
    async with StoredHistory(sqlite_url) as store:
        await store.migrate()
        async with running_command(tmp_path, [sys.executable, "-c", code], env) as program:
            with anyio.fail_after(240):
                assert await program.process.wait() == 0, program.log
        assert set(await store.database.read(finished_jobs)) == {"roll-ups", "retention", "upkeep"}
