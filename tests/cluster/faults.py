"""Faults of a cluster environment: each is a context manager that injects the fault and ends it."""

import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import anyio
import asyncpg
from redis.asyncio import Redis

from tests.tcp_proxy import TcpProxy

from .environment import ClusterEnvironment

__all__ = ["DEATHS", "FAULTS", "Fault"]

Fault = Callable[[ClusterEnvironment], AbstractAsyncContextManager[None]]
#: More connections than this PostgreSQL accepts.
CONNECTIONS = 64


def _cut(proxy: Callable[[ClusterEnvironment], TcpProxy]) -> Fault:
    """Connections break, and new ones are closed at once."""

    @contextlib.asynccontextmanager
    async def fault(environment: ClusterEnvironment) -> AsyncIterator[None]:
        proxy(environment).cut()
        try:
            yield
        finally:
            proxy(environment).mend()

    return fault


def _held(proxy: Callable[[ClusterEnvironment], TcpProxy]) -> Fault:
    """Connections stay open, and nothing passes."""

    @contextlib.asynccontextmanager
    async def fault(environment: ClusterEnvironment) -> AsyncIterator[None]:
        proxy(environment).hold()
        try:
            yield
        finally:
            proxy(environment).mend()

    return fault


@contextlib.asynccontextmanager
async def redis_killed(environment: ClusterEnvironment) -> AsyncIterator[None]:
    """Redis is killed, and started empty."""
    environment.redis_emptied += 1
    await environment.cluster.redis.kill()
    try:
        yield
    finally:
        await environment.cluster.redis.start()


def _configured(**options: str) -> Fault:
    """Redis runs with these options."""

    @contextlib.asynccontextmanager
    async def fault(environment: ClusterEnvironment) -> AsyncIterator[None]:
        async with Redis.from_url(environment.cluster.redis.url) as redis:
            before = {name: str((await redis.config_get(name))[name]) for name in options}
            for name, value in options.items():
                await redis.config_set(name, value)
            try:
                yield
            finally:
                for name, value in before.items():
                    await redis.config_set(name, value)

    return fault


@contextlib.asynccontextmanager
async def redis_read_only(environment: ClusterEnvironment) -> AsyncIterator[None]:
    """Redis is the replica of an absent server, so it refuses writes."""
    async with Redis.from_url(environment.cluster.redis.url) as redis:
        await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            await redis.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.asynccontextmanager
async def database_stopped(environment: ClusterEnvironment) -> AsyncIterator[None]:
    """PostgreSQL is stopped in order, and started."""
    await anyio.to_thread.run_sync(environment.postgres.stop)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(environment.postgres.start)


@contextlib.asynccontextmanager
async def database_killed(environment: ClusterEnvironment) -> AsyncIterator[None]:
    """PostgreSQL is killed, and started."""
    await anyio.to_thread.run_sync(environment.postgres.kill)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(environment.postgres.start)


@contextlib.asynccontextmanager
async def database_crowded(environment: ClusterEnvironment) -> AsyncIterator[None]:
    """Other clients hold every connection that PostgreSQL accepts."""
    address = environment.database_url.replace("+asyncpg", "")
    taken: list[asyncpg.Connection] = []
    with contextlib.suppress(asyncpg.PostgresError):
        while len(taken) < CONNECTIONS:
            taken.append(await asyncpg.connect(address))
    try:
        yield
    finally:
        for connection in taken:
            await connection.close(timeout=10)


def _killed(leads: bool) -> Fault:
    """A node is killed, and another is started in its place."""

    @contextlib.asynccontextmanager
    async def fault(environment: ClusterEnvironment) -> AsyncIterator[None]:
        node = await environment.node(leads=leads)
        environment.cluster.nodes.remove(node)
        node.kill()
        try:
            yield
        finally:
            await environment.replace(node)

    return fault


def _paused(leads: bool) -> Fault:
    """A node is paused with SIGSTOP, and continued."""

    @contextlib.asynccontextmanager
    async def fault(environment: ClusterEnvironment) -> AsyncIterator[None]:
        node = await environment.node(leads=leads)
        node.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            node.signal(signal.SIGCONT)

    return fault


@contextlib.asynccontextmanager
async def node_restarted(environment: ClusterEnvironment) -> AsyncIterator[None]:
    """A node is stopped with SIGTERM, and replaced."""
    await environment.restart(await environment.node(leads=None))
    yield


def _proxy_of(name: str) -> Callable[[ClusterEnvironment], TcpProxy]:
    return lambda environment: getattr(environment, name)


#: Two faults that make each of the three servers unreachable.
DEATHS: dict[str, tuple[Fault, Fault]] = {
    name: (_cut(_proxy_of(name)), _held(_proxy_of(name))) for name in ("redis", "database", "exchange")
}

FAULTS: dict[str, Fault] = {
    **{f"{name} cut": cut for name, (cut, _) in DEATHS.items()},
    **{f"{name} held": held for name, (_, held) in DEATHS.items()},
    "redis killed": redis_killed,
    "redis full": _configured(maxmemory="1", **{"maxmemory-policy": "noeviction"}),
    "redis read-only": redis_read_only,
    "database stopped": database_stopped,
    "database killed": database_killed,
    "database crowded": database_crowded,
    "leader killed": _killed(leads=True),
    "follower killed": _killed(leads=False),
    "leader paused": _paused(leads=True),
    "follower paused": _paused(leads=False),
    "node restarted": node_restarted,
}
