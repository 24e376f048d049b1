"""The cache that all nodes share, in Redis. A Redis that does not answer becomes CacheUnavailable."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from redis import ConnectionError, RedisError, WatchError  # noqa: A004 (Redis' own)
from redis.asyncio import Redis

from ...errors import CacheUnavailable

__all__ = ["RedisCache"]

#: A command that takes longer has failed: a request of a browser waits for it.
COMMAND_SECONDS = 1.0
#: Commands at once, and how long one waits to be sent: a crowd would open a connection for each and starve them all.
CONCURRENT, QUEUE_SECONDS = 32, 5.0
#: Commands that are sent together.
PIPELINE = 500


class RedisCache:
    """A Cache over a Redis client, which its owner closes and which must not repeat commands by itself."""

    lasting = True

    def __init__(self, client: Redis, *, command_seconds: float = COMMAND_SECONDS) -> None:
        self._redis = client
        self._command_seconds = command_seconds
        self._limit = anyio.Semaphore(CONCURRENT)

    def __repr__(self) -> str:
        return "<RedisCache>"

    async def _do(self, command: Callable[[], Awaitable[Any]], *, repeat: bool = False) -> Any:
        """Run a command; with ``repeat`` run it once more when its connection was dead. Raises CacheUnavailable."""
        try:
            with anyio.fail_after(QUEUE_SECONDS):
                await self._limit.acquire()
        except TimeoutError:
            raise CacheUnavailable("Redis is too slow for so many commands") from None
        try:
            with anyio.fail_after(self._command_seconds):
                try:
                    return await command()
                except ConnectionError:
                    # Redis restarted: the idle connections of the pool are as dead as this one.
                    await self._redis.connection_pool.disconnect(inuse_connections=False)
                    if not repeat:
                        raise
                    return await command()
        except (RedisError, OSError, TimeoutError) as exc:
            # Only the type: the library's message may contain an address with a password.
            raise CacheUnavailable(f"a command to Redis failed: {type(exc).__name__}") from None
        finally:
            self._limit.release()

    async def get(self, *names: str) -> list[bytes | None]:
        """See Cache."""
        return list(await self._do(lambda: self._redis.mget(names), repeat=True)) if names else []

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """See Cache."""
        await self._do(partial(self._redis.set, name, value, px=_milliseconds(seconds)), repeat=True)

    async def take(self, name: str) -> bytes | None:
        """See Cache."""
        # Repeated at worst after the value was deleted: then nobody receives it, as when it expires.
        value: bytes | None = await self._do(lambda: self._redis.getdel(name), repeat=True)
        return value

    async def swap(self, name: str, old: bytes, new: bytes | None, seconds: float | None = None) -> bool:
        """See Cache."""
        return bool(await self._do(lambda: self._swap(name, old, new, seconds)))

    async def _swap(self, name: str, old: bytes, new: bytes | None, seconds: float | None) -> bool:
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(name)
            if await pipe.get(name) != old:
                return False
            pipe.multi()
            if new is None:
                pipe.delete(name)
            else:
                life = None if seconds is None else _milliseconds(seconds)
                pipe.set(name, new, px=life, keepttl=life is None, xx=True)
            try:
                return bool((await pipe.execute())[0])
            except WatchError:
                return False

    async def extend(self, seconds: Mapping[str, float]) -> None:
        """See Cache."""
        items = list(seconds.items())
        for start in range(0, len(items), PIPELINE):
            await self._do(partial(self._extend, items[start : start + PIPELINE]), repeat=True)

    async def _extend(self, items: Sequence[tuple[str, float]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name, seconds in items:
                pipe.pexpire(name, _milliseconds(seconds))
            await pipe.execute()

    async def delete(self, *names: str) -> None:
        """See Cache."""
        if names:
            await self._do(lambda: self._redis.delete(*names), repeat=True)

    async def count(self, name: str, seconds: float) -> int:
        """See Cache."""
        return int(await self._do(lambda: self._count(name, seconds)))

    async def _count(self, name: str, seconds: float) -> int:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(name)
            pipe.pexpire(name, _milliseconds(seconds), nx=True)
            results: list[Any] = await pipe.execute()
        return int(results[0])

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """See Cache."""
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        cursor = 0
        while True:
            page = partial(self._redis.scan, cursor, match=pattern, count=500)
            cursor, found = await self._do(page, repeat=True)
            for name in found:
                yield name.decode()
            if not cursor:
                return


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
