"""What the Celery task asks of the exchange: all wanted tickers at once, and nothing when nothing is wanted."""

import re
from collections import Counter
from pathlib import Path

import anyio
import httpx2
import pytest
from redis.asyncio import Redis

from cryptomarket.cluster.redis.wanted import WANTED
from cryptomarket.model import Source
from cryptomarket.simulator.exchange import running_exchange
from tests.databases import StoredHistory
from tests.processes import Program, eventually, running_program
from tests.redis_server import running_redis

from .programs import beat, durations, rows_of, settings_for, until_stored, worker


async def _url_once_listed(gateway: Program) -> str:
    """The gateway's address once it has the catalogue.

    Before, a stream of a ticker that is not configured is told to return, which the clients of these tests do not do.
    """
    url = await gateway.url()
    await eventually(lambda: "catalogue refreshed" in gateway.log, "the catalogue", 60)
    return url


@pytest.mark.system
async def test_d3_a_task_asks_for_all_tickers_at_once(tmp_path: Path, database_url: str) -> None:
    """The exchange answers after a second: eight tickers take less than two, more than eight one after another."""
    async with running_exchange() as exchange, running_redis(tmp_path) as redis:
        exchange.inject("delay", "1")
        eight = "btc_usd,eth_usd,sol_usd,xrp_usd,ada_usd,avax_usd,BTC-PERPETUAL,ETH-PERPETUAL"
        settings = settings_for(database_url, exchange, redis) | {"tickers": eight, "celery_interval": 3}
        async with worker(tmp_path, **settings) as program, beat(tmp_path, **settings):
            await eventually(lambda: len(durations(program, 8)) >= 3, "three snapshots", 240)
        assert min(durations(program, 8)) < 5  # on a busy machine


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
            url = await _url_once_listed(gateway)
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
            client.stream("GET", f"{await _url_once_listed(gateway)}/sse/?channels=btc_usd,sol_usd&timer=1"),
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
