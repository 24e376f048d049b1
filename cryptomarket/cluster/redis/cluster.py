"""One node of many: the bus, the requests and the election, composed."""

import time
from collections.abc import Callable

import anyio
from anyio.abc import TaskStatus
from redis.asyncio import Redis

from ..cluster import RunAsLeader
from ..election import Election, Lease
from ..node_keys import NodeKeys
from .bus import RedisBus
from .membership import MAX_WANTED
from .refused import RefusedMessages
from .rpc import RedisRpc

__all__ = ["RedisCluster"]

#: Bounds of a hand-over: for the requests in progress, then for the leader's tasks to end.
FINISH_SECONDS, RESIGN_SECONDS = 2.0, 3.0


class RedisCluster:
    """The cluster as the node named ``node`` sees it; see Cluster.

    All nodes share the ``lease`` in the database, and the ``keys`` that sign and seal what they send through Redis. The
    leader follows at most ``max_wanted`` tickers of all nodes beside the configured ones.
    """

    def __init__(
        self,
        redis: Redis,
        node: str,
        lease: Lease,
        keys: NodeKeys,
        *,
        max_wanted: int = MAX_WANTED,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._election = election = Election(lease, node, monotonic=monotonic)
        refused = RefusedMessages(monotonic)
        self._bus = bus = RedisBus(
            redis,
            node,
            keys,
            refused=refused,
            observe_epoch=election.observe_epoch,
            may_lead=election.may_lead,
            max_wanted=max_wanted,
            monotonic=monotonic,
            wall=wall,
        )
        self._rpc = rpc = RedisRpc(redis, node, keys, refused=refused, wall=wall)
        self.publish, self.subscribe = bus.publish, bus.subscribe
        self.want, self.demand = bus.want, bus.demand
        self.leads, self.has_leader, self.members = bus.leads, bus.has_leader, bus.members
        self.statistics = bus.statistics
        self.request, self.serve = rpc.request, rpc.serve

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Exchange messages and replies with the other nodes until cancelled."""
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._bus.run)
            await tasks.start(self._rpc.run)
            task_status.started()

    async def lead(
        self, run_as_leader: RunAsLeader, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Run ``run_as_leader`` with a new epoch whenever this node is elected, until cancelled."""

        async def run_epoch(epoch: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
            await self._bus.catch_up()
            self._bus.lead(epoch)
            try:
                await run_as_leader(epoch, task_status=task_status)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._bus.flush()  # before the next leader publishes
                self._bus.stop_leading()

        await self._election.run(run_epoch, task_status=task_status)

    async def hand_over(self) -> None:
        """Finish the requests in progress, then leave the lead to another node for good. Bounded in time."""
        if self.leads():
            with anyio.move_on_after(FINISH_SECONDS):
                await self._rpc.finish()
        with anyio.move_on_after(RESIGN_SECONDS):
            await self._election.resign()
