"""The cache in Redis: shared by all nodes, every command bounded in time, no failure of Redis more than a sentence."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from redis import ConnectionError, RedisError, WatchError  # noqa: A004 (Redis' own)
from redis.asyncio import Redis

from ...cluster.redis.client import redis_client
from ...errors import CacheUnavailable

__all__ = ["RedisCache"]

#: A Redis that has not answered by then is treated as one that is not there.
COMMAND_SECONDS = 0.5


class RedisCache:
    """The cache of all nodes on one Redis; see Cache."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = redis_client(url, connect_seconds=COMMAND_SECONDS, seconds=COMMAND_SECONDS)

    def __repr__(self) -> str:
        return "<RedisCache>"

    async def _do(self, work: Callable[[], Awaitable[Any]], *, again: bool = False) -> Any:
        """The answer to a command; one that may be sent ``again`` is, when the connection turns out to be dead."""
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                try:
                    return await work()
                except ConnectionError:
                    # Redis restarted: the other connections of the pool are as dead as this one.
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
                    if not again:
                        raise
                    return await work()
        except (RedisError, OSError, TimeoutError) as exc:
            # The library's words may hold an address with a password.
            raise CacheUnavailable(f"Redis did not do what was asked: {type(exc).__name__}") from None

    async def get(self, *names: str) -> list[bytes | None]:
        """The values under the names, in their order."""
        return list(await self._do(lambda: self._redis.mget(names), again=True)) if names else []

    async def put(self, name: str, value: bytes, seconds: float, *, only_over: bool = False) -> bool:
        """Keep a value for so long; with ``only_over`` only where one stands. Whether it was kept."""
        lasts = max(1, round(seconds * 1000))
        return bool(await self._do(lambda: self._redis.set(name, value, px=lasts, xx=only_over), again=True))

    async def take(self, name: str) -> bytes | None:
        """The value, which is gone from now on."""
        value: bytes | None = await self._do(lambda: self._redis.getdel(name))
        return value

    async def swap(self, name: str, old: bytes, new: bytes | None) -> bool:
        """Put the new value where the old one still stands, to end when that would have."""
        return bool(await self._do(lambda: self._swap(name, old, new)))

    async def _swap(self, name: str, old: bytes, new: bytes | None) -> bool:
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(name)
            if await pipe.get(name) != old:
                return False
            pipe.multi()  # type: ignore[no-untyped-call]
            if new is None:
                pipe.delete(name)
            else:
                pipe.set(name, new, keepttl=True, xx=True)
            try:
                return bool((await pipe.execute())[0])
            except WatchError:
                return False

    async def delete(self, *names: str) -> None:
        """Forget the values."""
        if names:
            await self._do(lambda: self._redis.delete(*names), again=True)

    async def count(self, name: str, seconds: float) -> int:
        """How often this was called for the name within so many seconds of the first time."""
        return int(await self._do(lambda: self._count(name, seconds)))

    async def _count(self, name: str, seconds: float) -> int:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(name)
            pipe.pexpire(name, max(1, round(seconds * 1000)), nx=True)
            results: list[Any] = await pipe.execute()
        return int(results[0])

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """The names that begin so and have a value."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        cursor = 0
        while True:
            page = partial(self._redis.scan, cursor, match=pattern, count=500)
            cursor, found = await self._do(page, again=True)
            for name in found:
                yield name.decode()
            if not cursor:
                return

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._redis.aclose()
