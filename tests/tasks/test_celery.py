"""A worker and a beat of Celery as its users run them: real processes, a real Redis, the simulated exchange."""

import base64
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from cryptomarket.history.daily_jobs import finished_jobs
from cryptomarket.model import Source
from cryptomarket.simulator.exchange import running_exchange
from tests.databases import StoredHistory
from tests.processes import environment, eventually, running_command
from tests.redis_server import RedisServer, running_redis

from .programs import beat, celery, durations, rows_of, settings_for, until_stored, worker

QUEUE = "cryptomarket:celery:high"
NAME = "cryptomarket.tasks.celery.task_add_every_60_seconds.task_celery_monitoring_currency"


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
                await until_stored(postgres_url, Source.SNAPSHOT, 2)
                killed.process.kill()
            before = len(await rows_of(postgres_url))
            async with worker(tmp_path, **settings) as program:
                rows = await until_stored(postgres_url, Source.SNAPSHOT, before + 2)
                assert await program.stop(seconds=60) == 0
        assert max(Counter(row.timestamp for row in rows).values()) == 1
        assert {row.source for row in rows} == {Source.SNAPSHOT}
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


@pytest.mark.system
async def test_a_task_takes_tickers_of_its_own(tmp_path: Path, sqlite_url: str) -> None:
    """Whoever sends the task may name tickers; nothing else is stored then."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        settings = settings_for(sqlite_url, exchange, redis)
        named = ("call", NAME, "--kwargs", json.dumps({"tickers": ["BTC-PERPETUAL"]}))
        async with worker(tmp_path, **settings) as program, celery(tmp_path, *named, **settings) as caller:
            with anyio.fail_after(240):
                assert await caller.process.wait() == 0, caller.log
            await eventually(lambda: durations(program, 1), "the snapshot", 240)
        assert len(await rows_of(sqlite_url, "BTC-PERPETUAL")) == 1
        assert await rows_of(sqlite_url) == []


@pytest.mark.system
async def test_celerys_own_log_options_count(tmp_path: Path, sqlite_url: str) -> None:
    """The level of the command line wins over the setting, a file gets the lines, and no line has the password."""
    password = "s3cret-broker-password"
    async with running_exchange() as exchange, running_redis(tmp_path, "--requirepass", password) as redis:
        settings = settings_for(sqlite_url, exchange, redis) | {"log_level": "warning"}
        settings["redis_url"] = redis.url.replace("redis://", f"redis://:{password}@")
        into = tmp_path / "worker.txt"
        async with (
            celery(tmp_path, "beat", "--schedule", str(tmp_path / "beat"), "--loglevel=info", **settings) as scheduler,
            worker(tmp_path, "--loglevel=debug", f"--logfile={into}", **settings) as program,
            celery(tmp_path, "beat", "--schedule", str(tmp_path / "beat2"), **settings) as silent,
        ):
            await eventually(lambda: into.exists() and "succeeded in" in into.read_text(), "a task is done", 240)
            await eventually(
                lambda: f"Sending due task snapshot ({NAME})" in scheduler.log, "beat says what it sends", 60
            )
            await eventually(lambda: "celery beat" in silent.out, "the other beat has started", 60)
            await anyio.sleep(3)
        lines = [json.loads(line) for line in into.read_text().splitlines() if line.startswith("{")]
        assert {"debug", "info"} <= {line["level"] for line in lines}
        assert {line["node"] for line in lines} == {"tasks"}
        assert [line for line in (program.log + silent.log).splitlines() if line.startswith("{")] == []
        for text in (into.read_text(), *(one.log + one.out for one in (program, scheduler, silent))):
            assert password not in text


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
