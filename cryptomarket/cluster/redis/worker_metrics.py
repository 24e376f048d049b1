"""The metrics of each worker behind one port, in Redis, so that any worker can serve the metrics of all."""

import anyio
from redis import RedisError
from redis.asyncio import Redis

from .client import COMMAND_SECONDS

__all__ = ["WorkerMetrics"]

METRICS = "cryptomarket:metrics:%s:%s"
#: A worker that has not stored its metrics for so long is not running.
EXPIRE_SECONDS = 15


class WorkerMetrics:
    """The metrics of the workers of one ``group``; this one is called ``node``."""

    def __init__(self, redis: Redis, group: str, node: str) -> None:
        self._redis = redis
        self._group, self._node = group, node

    async def store(self, text: bytes) -> None:
        """Store this worker's metrics; does nothing while Redis is away."""
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                await self._redis.set(METRICS % (self._group, self._node), text, ex=EXPIRE_SECONDS)
        except (RedisError, OSError, TimeoutError):
            return

    async def others(self, nodes: tuple[str, ...]) -> dict[str, bytes]:
        """The metrics of those of the other nodes that stored some."""
        names = [node for node in nodes if node != self._node]
        if not names:
            return {}
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                found = await self._redis.mget([METRICS % (self._group, node) for node in names])
        except (RedisError, OSError, TimeoutError):
            return {}
        return {node: bytes(text) for node, text in zip(names, found, strict=True) if isinstance(text, bytes)}
