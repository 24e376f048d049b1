"""Troubles that a house can have: each strikes when it is entered and is over when it is left."""

import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import anyio
import asyncpg
from redis.asyncio import Redis

from tests.tcp_proxy import TcpProxy

from .environment import House

__all__ = ["DEATHS", "TROUBLES", "Trouble"]

Trouble = Callable[[House], AbstractAsyncContextManager[None]]
#: More than PostgreSQL gives out in the house.
CONNECTIONS = 64


def _cut(line: Callable[[House], TcpProxy]) -> Trouble:
    """Connections break, and new ones do at once."""

    @contextlib.asynccontextmanager
    async def trouble(house: House) -> AsyncIterator[None]:
        line(house).cut()
        try:
            yield
        finally:
            line(house).mend()

    return trouble


def _held(line: Callable[[House], TcpProxy]) -> Trouble:
    """Connections stand, and nothing passes."""

    @contextlib.asynccontextmanager
    async def trouble(house: House) -> AsyncIterator[None]:
        line(house).hold()
        try:
            yield
        finally:
            line(house).mend()

    return trouble


@contextlib.asynccontextmanager
async def redis_killed(house: House) -> AsyncIterator[None]:
    """Redis dies, and comes back empty."""
    house.emptied += 1
    await house.cluster.redis.kill()
    try:
        yield
    finally:
        await house.cluster.redis.start()


def _configured(**options: str) -> Trouble:
    """Redis refuses what is written."""

    @contextlib.asynccontextmanager
    async def trouble(house: House) -> AsyncIterator[None]:
        async with Redis.from_url(house.cluster.redis.url) as redis:
            before = {name: str((await redis.config_get(name))[name]) for name in options}
            for name, value in options.items():
                await redis.config_set(name, value)
            try:
                yield
            finally:
                for name, value in before.items():
                    await redis.config_set(name, value)

    return trouble


@contextlib.asynccontextmanager
async def redis_read_only(house: House) -> AsyncIterator[None]:
    """Redis is the replica of nobody there."""
    async with Redis.from_url(house.cluster.redis.url) as redis:
        await redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            await redis.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.asynccontextmanager
async def database_stopped(house: House) -> AsyncIterator[None]:
    """PostgreSQL is restarted as by its operator."""
    await anyio.to_thread.run_sync(house.postgres.stop)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(house.postgres.start)


@contextlib.asynccontextmanager
async def database_killed(house: House) -> AsyncIterator[None]:
    """PostgreSQL's machine loses its power."""
    await anyio.to_thread.run_sync(house.postgres.kill)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(house.postgres.start)


@contextlib.asynccontextmanager
async def database_crowded(house: House) -> AsyncIterator[None]:
    """Others take every connection that PostgreSQL gives out."""
    address = house.database_url.replace("+asyncpg", "")
    taken: list[asyncpg.Connection] = []
    with contextlib.suppress(asyncpg.PostgresError):
        while len(taken) < CONNECTIONS:
            taken.append(await asyncpg.connect(address))
    try:
        yield
    finally:
        for connection in taken:
            await connection.close(timeout=10)


def _killed(leads: bool) -> Trouble:
    """A node dies, and another is started in its place."""

    @contextlib.asynccontextmanager
    async def trouble(house: House) -> AsyncIterator[None]:
        node = await house.one(leads=leads)
        house.cluster.nodes.remove(node)
        node.kill()
        try:
            yield
        finally:
            await house.replace(node)

    return trouble


def _paused(leads: bool) -> Trouble:
    """A node stands still, and goes on."""

    @contextlib.asynccontextmanager
    async def trouble(house: House) -> AsyncIterator[None]:
        node = await house.one(leads=leads)
        node.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            node.signal(signal.SIGCONT)

    return trouble


@contextlib.asynccontextmanager
async def node_restarted(house: House) -> AsyncIterator[None]:
    """A node is stopped as by its operator, and started again."""
    await house.restart(await house.one(leads=None))
    yield


def _of(line: str) -> Callable[[House], TcpProxy]:
    return lambda house: getattr(house, line)


#: What makes each of the three unreachable, in two ways.
DEATHS: dict[str, tuple[Trouble, Trouble]] = {
    name: (_cut(_of(name)), _held(_of(name))) for name in ("redis", "database", "exchange")
}

TROUBLES: dict[str, Trouble] = {
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
