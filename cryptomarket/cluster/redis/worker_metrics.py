"""The bulletin: what each worker behind one port says of itself, so that whichever is asked can answer for all."""

import anyio
from redis import RedisError
from redis.asyncio import Redis

from .client import redis_client

__all__ = ["WorkerMetrics"]

NOTE = "cryptomarket:metrics:%s:%s"
#: A worker that has not said anything for so long is not there.
NOTE_SECONDS = 15
COMMAND_SECONDS = 0.5


class WorkerMetrics:
    """The notes of the workers of one ``group``; ``node`` is who writes here."""

    def __init__(self, url: str, group: str, node: str) -> None:
        self._redis: Redis = redis_client(url, connect_seconds=COMMAND_SECONDS, seconds=COMMAND_SECONDS)
        self._group, self._node = group, node

    async def post(self, text: bytes) -> None:
        """Write our note; while Redis is away there is none."""
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                await self._redis.set(NOTE % (self._group, self._node), text, ex=NOTE_SECONDS)
        except (RedisError, OSError, TimeoutError):
            return

    async def others(self, nodes: list[str]) -> dict[str, bytes]:
        """The notes of the other nodes of the group that have one."""
        asked = [node for node in nodes if node != self._node]
        if not asked:
            return {}
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                found = await self._redis.mget([NOTE % (self._group, node) for node in asked])
        except (RedisError, OSError, TimeoutError):
            return {}
        return {node: bytes(text) for node, text in zip(asked, found, strict=True) if isinstance(text, bytes)}

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._redis.aclose()
