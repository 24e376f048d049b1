"""What nodes share: in the memory of one process, or in Redis for many.

No other module asks which of the two it is.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from ..cluster.cluster import Cluster
from ..cluster.node_keys import NodeKeys
from ..cluster.redis.client import redis_client
from ..cluster.redis.cluster import RedisCluster
from ..cluster.redis.tls import check_tls
from ..cluster.single import SingleNode
from ..database.lease import DatabaseLease
from ..database.process_lock import only_process
from ..persons.cache import Cache
from ..persons.cache.memory import MemoryCache
from ..persons.cache.redis import RedisCache
from ..settings import Settings
from ..web.health import Check
from .health import clocks_check, keys_check, redis_check
from .worker_metrics import OwnMetrics, SharedMetrics, WorkerMetrics

__all__ = ["Backend", "new_backend"]

#: How long a gateway that was told to stop may take beside its drain window.
STOP_SECONDS = 5.0


class Backend(Protocol):
    """The shared parts of one node."""

    cluster: Cluster
    cache: Cache
    metrics: SharedMetrics

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """What must be held while the node runs; raises StartError when it cannot be."""

    def statistics(self) -> Mapping[str, object]:
        """What /status shows of the cluster, by name."""

    async def checks(self) -> Mapping[str, Check]:
        """The health of what nodes share, by name."""

    async def close(self) -> None:
        """Close all connections."""


class MemoryBackend:
    """One process: nothing is shared. Two of them would both lead on one database."""

    def __init__(self, lease: DatabaseLease, place: str, drain_seconds: float) -> None:
        self.cluster: Cluster = SingleNode(lease.take_epoch)
        self.cache: Cache = MemoryCache()
        self.metrics: SharedMetrics = OwnMetrics()
        self._place, self._wait_seconds = place, drain_seconds + STOP_SECONDS

    def running(self) -> contextlib.AbstractAsyncContextManager[None]:
        """The only gateway on the database, after the one before it has stopped."""
        return only_process(self._place, wait_seconds=self._wait_seconds)

    def statistics(self) -> Mapping[str, object]:
        """Nothing: there is no cluster."""
        return {}

    async def checks(self) -> Mapping[str, Check]:
        """Nothing: there is no Redis."""
        return {}

    async def close(self) -> None:
        """Nothing is open."""


class RedisBackend:
    """Many nodes on one Redis, over one connection pool. ``group`` names the workers behind one port, if any."""

    def __init__(self, url: str, node: str, lease: DatabaseLease, keys: NodeKeys, group: str, max_wanted: int) -> None:
        self._redis = redis = redis_client(url)
        self.cluster: Cluster = RedisCluster(redis, node, lease, keys, max_wanted=max_wanted)
        self.cache: Cache = RedisCache(redis)
        self.metrics: SharedMetrics = OwnMetrics()
        if group:
            self.metrics = WorkerMetrics(redis, group, node, keys, self.cluster.members)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing is held: the lease decides which node leads. Raises StartError when TLS to Redis cannot be used."""
        await check_tls(self._redis)
        yield

    def statistics(self) -> Mapping[str, object]:
        """This node among the others."""
        return {"cluster": self.cluster.statistics()}

    async def checks(self) -> Mapping[str, Check]:
        """Whether Redis works, and whether the nodes have the same keys and the same time."""
        found = self.cluster.statistics()
        return {"redis": await redis_check(self._redis), "keys": keys_check(found), "clocks": clocks_check(found)}

    async def close(self) -> None:
        """Close the connection pool."""
        await self._redis.aclose()


def new_backend(settings: Settings, lease: DatabaseLease, place: str, keys: NodeKeys, group: str) -> Backend:
    """The backend of the settings, on the database ``place``; nothing is connected yet."""
    if settings.redis_url:
        max_wanted = max(0, settings.max_tickers - len(settings.tickers))
        return RedisBackend(settings.redis_url.get_secret_value(), settings.node, lease, keys, group, max_wanted)
    return MemoryBackend(lease, place, settings.drain_seconds)
