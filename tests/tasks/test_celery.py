"""A worker and a beat of Celery as its users run them: real processes, a real Redis, the simulated exchange."""

import base64
import json
import re
import sys
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from redis.asyncio import Redis

from cryptomarket.cluster.redis.wanted import WANTED
from cryptomarket.history.daily_jobs import finished_jobs
from cryptomarket.model import Price, Source
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.databases import StoredHistory
from tests.processes import Program, environment, eventually, running_command, running_program
from tests.redis_server import RedisServer, running_redis

QUEUE = "cryptomarket:celery:high"
NAME = "cryptomarket.tasks.celery.task_add_every_60_seconds.task_celery_monitoring_currency"


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


def durations(program: Program, returned: int) -> list[float]:
    """How many seconds each finished snapshot took that returned this number."""
    finished = rf"currency\[[^]]+\] succeeded in ([0-9.]+)s: {returned}\b"
    return [float(found) for found in re.findall(finished, program.log)]


@pytest.mark.system
async def test_d3_eight_tickers_take_less_than_two_seconds(tmp_path: Path, database_url: str) -> None:
    """The exchange answers after a second; a worker asks for all tickers at once."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        exchange.inject("delay", "1")
        eight = "btc_usd,eth_usd,sol_usd,xrp_usd,ada_usd,avax_usd,BTC-PERPETUAL,ETH-PERPETUAL"
        settings = settings_for(database_url, exchange, redis) | {"tickers": eight, "celery_interval": 3}
        async with worker(tmp_path, **settings) as program, beat(tmp_path, **settings):
            await eventually(lambda: len(durations(program, 8)) >= 3, "three snapshots", 240)
        assert min(durations(program, 8)) < 2


@pytest.mark.system
async def test_d4_nothing_wanted_nothing_asked(tmp_path: Path, sqlite_url: str) -> None:
    """Without tickers and without a gateway the exchange gets no request, and no database is made."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        settings = settings_for(sqlite_url, exchange, redis) | {"tickers": ""}
        async with worker(tmp_path, **settings) as program, beat(tmp_path, **settings):
            await eventually(lambda: len(durations(program, 0)) >= 3, "three snapshots of nothing", 240)
        assert exchange.connections == 0
        assert not (tmp_path / "prices.db").exists()


@pytest.mark.system
async def test_d4_celery_stores_what_streams_ask_for(tmp_path: Path, database_url: str) -> None:
    """A stream of a gateway wants a ticker that is configured nowhere; without the gateway nobody does."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        settings = settings_for(database_url, exchange, redis) | {"tickers": ""}
        async with running_program(tmp_path, "serve", **settings | {"recorder": "off", "node": "gateway"}) as gateway:
            url = await gateway.url()
            async with worker(tmp_path, **settings), beat(tmp_path, **settings):
                address = f"{url}/sse/?channels=sol_usd&timer=1"
                async with httpx2.AsyncClient() as browser, browser.stream("GET", address) as response:
                    assert response.status_code == 200
                    await until_stored(database_url, Source.SNAPSHOT, 3, "sol_usd")
                    assert await rows_of(database_url) == []
                assert await gateway.stop() == 0
                async with Redis.from_url(redis.url) as client:
                    with anyio.fail_after(60):
                        while await client.exists(WANTED):
                            await anyio.sleep(0.2)
                await anyio.sleep(3)  # what was queued
                asked = exchange.state.requests["public/get_index_price"]
                await anyio.sleep(3)
                assert exchange.state.requests["public/get_index_price"] == asked


@pytest.mark.system
async def test_d4_a_slot_is_stored_once_with_both_recorders(tmp_path: Path, database_url: str) -> None:
    """The gateway and Celery store the same tickers; the live price wins."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        settings = settings_for(database_url, exchange, redis) | {"record_wanted": "on", "snapshot_interval": 2}
        async with (
            running_program(tmp_path, "serve", **settings | {"node": "gateway"}) as gateway,
            worker(tmp_path, **settings) as program,
            beat(tmp_path, **settings),
            httpx2.AsyncClient() as client,
            client.stream("GET", f"{await gateway.url()}/sse/?channels=btc_usd,sol_usd&timer=1"),
        ):
            for ticker in ("btc_usd", "sol_usd"):
                await until_stored(database_url, Source.LIVE, 5, ticker)
            await eventually(lambda: re.search(r"succeeded in [0-9.]+s: [23]\b", program.log), "a snapshot", 240)
            await until_stored(database_url, Source.LIVE, len(await rows_of(database_url)) + 3)
            for ticker in ("btc_usd", "eth_usd", "sol_usd"):
                rows = await rows_of(database_url, ticker)
                assert max(Counter(row.timestamp for row in rows).values()) == 1
                live = [number for number, row in enumerate(rows) if row.source == Source.LIVE]
                assert len(live) > 0.8 * (live[-1] - live[0])  # a busy machine may lose the ticks of a slot


@pytest.mark.system
async def test_d4_a_failing_redis_is_asked_again(tmp_path: Path, sqlite_url: str) -> None:
    """What streams want cannot be read: the task is repeated like one that the exchange did not answer."""
    async with (
        running_exchange() as exchange,
        running_redis(tmp_path) as redis,
        Redis.from_url(redis.url) as client,
    ):
        async with StoredHistory(sqlite_url) as store:
            await store.migrate()
        await client.lpush(WANTED, "no text")
        settings = settings_for(sqlite_url, exchange, redis)
        async with worker(tmp_path, **settings) as program, beat(tmp_path, **settings):
            await eventually(lambda: "Retry in" in program.log, "the task is repeated", 240)
            assert "cannot be read from Redis (ResponseError)" in program.log
            await client.delete(WANTED)
            await until_stored(sqlite_url, Source.SNAPSHOT, 2)


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
