"""A clock that is set forward, and a cache in a real Redis whose values live by it."""

import time
from collections.abc import AsyncIterator, Mapping

from redis.asyncio import Redis

from cryptomarket.persons.cache.redis import RedisCache

__all__ = ["Clock", "ClockedCache"]

#: How long values stay in Redis, in real seconds; the clock of the day ends their lives.
KEPT_SECONDS = 3600.0


class Clock:
    """The clock of the gateways' logins and of the exchange: the real one, set forward again and again."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()
        self.started = self()

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Set the clock forward."""
        self._ahead += seconds


class ClockedCache(RedisCache):
    """A cache in Redis whose values expire by the simulated clock."""

    def __init__(self, clock: Clock, client: Redis) -> None:
        super().__init__(client)
        self._clock = clock

    def _stamped(self, value: bytes, seconds: float) -> bytes:
        return b"%020.3f" % (self._clock() + seconds) + value

    def _alive(self, raw: bytes | None) -> bytes | None:
        return raw[20:] if raw is not None and float(raw[:20]) > self._clock() else None

    async def get(self, *names: str) -> list[bytes | None]:
        return [self._alive(raw) for raw in await super().get(*names)]

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        await super().put(name, self._stamped(value, seconds), KEPT_SECONDS)

    async def take(self, name: str) -> bytes | None:
        return self._alive(await super().take(name))

    async def swap(self, name: str, old: bytes, new: bytes | None, seconds: float | None = None) -> bool:
        (raw,) = await super().get(name)
        if raw is None or self._alive(raw) != old:
            return False
        stamp = raw[:20] if seconds is None else self._stamped(b"", seconds)
        return await super().swap(name, raw, None if new is None else stamp + new, KEPT_SECONDS)

    async def extend(self, seconds: Mapping[str, float]) -> None:
        for name, life in seconds.items():
            (raw,) = await super().get(name)
            if self._alive(raw) is not None and raw is not None:
                await super().swap(name, raw, self._stamped(raw[20:], life), KEPT_SECONDS)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        async for name in super().names(prefix):
            if await self.get(name) != [None]:
                yield name
