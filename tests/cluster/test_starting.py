"""A starting node accepts streams after it has caught up with the cluster, or after a bounded wait."""

import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import anyio

from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.model import Tick
from cryptomarket.stream.event_log import EventLog
from tests.processes import eventually
from tests.redis_server import running_redis
from tests.tcp_proxy import TcpProxy, tcp_proxy

from .messages import KEYS

TICKS = 300


@contextlib.asynccontextmanager
async def redis_with_ticks(folder: Path) -> AsyncIterator[TcpProxy]:
    """A proxy to a Redis that has the ticks of a leader."""
    async with running_redis(folder) as server, tcp_proxy(server.port) as proxy, redis_client(server.url) as redis:
        leader = RedisBus(redis, "leader", KEYS)
        leader.lead(1)
        for number in range(1, TICKS + 1):
            leader.publish(Tick("btc_usd", Decimal(number), 1_700_000_000_000 + number))
            await leader.flush()
        yield proxy


@contextlib.asynccontextmanager
async def starting(proxy: TcpProxy, catch_up_seconds: float) -> AsyncIterator[tuple[EventLog, anyio.Event]]:
    """Start a node; return its event log and the event that is set when it accepts streams."""
    redis = redis_client(f"redis://127.0.0.1:{proxy.port}/0")
    bus = RedisBus(redis, "late", KEYS, catch_up_seconds=catch_up_seconds)
    events, started = EventLog(["btc_usd"]), anyio.Event()

    def on_message(message: object) -> None:
        if isinstance(message, Tick):
            events.append(message, 0.0)

    async def start() -> None:
        await tasks.start(bus.run)
        started.set()

    bus.subscribe(on_message)
    async with redis, anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        yield events, started
        tasks.cancel_scope.cancel()


async def test_a_starting_node_catches_up_before_it_accepts_streams(tmp_path: Path) -> None:
    """A slow Redis delays the start, so that every id can be resumed."""
    async with redis_with_ticks(tmp_path) as proxy:
        proxy.hold()
        async with starting(proxy, 60.0) as (events, started):
            await eventually(lambda: proxy.connections >= 4, "attempts that were not answered")
            assert not started.is_set()
            proxy.mend()
            with anyio.fail_after(60):
                await started.wait()
            assert isinstance(events.resume(["btc_usd"], f"1-{TICKS // 2}"), int)
            assert isinstance(events.resume(["btc_usd"], f"1-{TICKS}"), int)


async def test_a_node_starts_without_redis(tmp_path: Path) -> None:
    """The wait for Redis is bounded; missed ticks arrive when Redis is back."""
    async with redis_with_ticks(tmp_path) as proxy:
        proxy.cut()
        async with starting(proxy, 0.2) as (events, started):
            with anyio.fail_after(60):
                await started.wait()
            assert events.sequence == 0
            proxy.mend()
            await eventually(lambda: events.sequence == TICKS, "the missed ticks")
