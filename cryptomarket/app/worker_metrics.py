"""The metrics of all workers behind one port, so that any of them can serve the metrics of all."""

from collections.abc import Callable
from typing import Any, Protocol

import anyio
from anyio.abc import TaskStatus
from redis import RedisError
from redis.asyncio import Redis

from ..cluster.node_keys import NodeKeys
from ..cluster.redis.client import COMMAND_SECONDS, own_channel
from ..cluster.redis.signer import Signer
from .metrics import exposition, of_workers

__all__ = ["OwnMetrics", "SharedMetrics", "WorkerMetrics"]

METRICS = "cryptomarket:metrics:%s:%s"
STORE_SECONDS = 5.0
#: A worker that has not stored its metrics for so long is not running.
EXPIRE_SECONDS = 15


class SharedMetrics(Protocol):
    """Makes what /metrics serves of what one process measured."""

    async def collect(self, own: bytes) -> bytes:
        """The text to serve; ``own`` are this process's metrics."""

    async def run(self, own: Callable[[], bytes], *, task_status: TaskStatus[None]) -> None:
        """Let the other workers serve this process's metrics too, until cancelled."""


class OwnMetrics:
    """The metrics of a process that shares its port with no other."""

    async def collect(self, own: bytes) -> bytes:
        """Returns ``own``."""
        return own

    async def run(self, own: Callable[[], bytes], *, task_status: TaskStatus[None]) -> None:
        """Nothing to do."""
        task_status.started()


class WorkerMetrics:
    """The metrics of the workers of one ``group``, in Redis; this one is ``node``, and ``members`` are all nodes."""

    def __init__(
        self, redis: Redis, group: str, node: str, keys: NodeKeys, members: Callable[[], tuple[str, ...]]
    ) -> None:
        self._redis = redis
        self._signer = Signer(keys, own_channel(redis, METRICS % (group, "")))
        self._group, self._node = group, node
        self._members = members

    async def collect(self, own: bytes) -> bytes:
        """The metrics of all workers, each sample labelled with its worker; only ``own`` while Redis is away."""
        return exposition(of_workers({self._node: own, **await self._others()}))

    async def run(self, own: Callable[[], bytes], *, task_status: TaskStatus[None]) -> None:
        """Store ``own()`` every few seconds; a Redis that is away is left out."""
        task_status.started()
        while True:
            await self._store(own())
            await anyio.sleep(STORE_SECONDS)

    async def _store(self, text: bytes) -> None:
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                signed = self._signer.sign(_heading(self._node) + text)
                await self._redis.set(METRICS % (self._group, self._node), signed, ex=EXPIRE_SECONDS)
        except (RedisError, OSError, TimeoutError):
            return

    async def _others(self) -> dict[str, bytes]:
        names = [node for node in self._members() if node != self._node]
        if not names:
            return {}
        try:
            with anyio.fail_after(COMMAND_SECONDS):
                found: list[Any] = await self._redis.mget([METRICS % (self._group, node) for node in names])
        except (RedisError, OSError, TimeoutError):
            return {}
        texts = {node: self._read(node, signed) for node, signed in zip(names, found, strict=True)}
        return {node: text for node, text in texts.items() if text is not None}

    def _read(self, node: str, signed: bytes | None) -> bytes | None:
        """The metrics that the node stored; None for anything that it did not store."""
        text = self._signer.verified(signed) if signed is not None else None
        return text if text is not None and text.startswith(_heading(node)) else None


def _heading(node: str) -> bytes:
    """The first line, a comment to Prometheus: another node's metrics are not taken for this one's."""
    return f"# of node {node}\n".encode()
