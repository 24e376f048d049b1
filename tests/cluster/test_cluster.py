"""What both implementations of Cluster promise: one process by itself, and one node over a real Redis."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.abc import TaskStatus

from cryptomarket.cluster.cluster import Cluster
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.cluster.redis.cluster import RedisCluster
from cryptomarket.cluster.single import SingleNode
from cryptomarket.errors import NoLeader
from cryptomarket.model import Message, SessionChanged, Upstream, UpstreamState
from tests.processes import eventually
from tests.redis_server import running_redis

from .messages import KEYS, places, tick


class MemoryLease:
    """A lease that one node after another can hold."""

    def __init__(self) -> None:
        self.epoch = 0
        self.holder = ""

    async def take_epoch(self) -> int:
        self.epoch += 1
        return self.epoch

    async def claim_lease(self, holder: str, session: int | None, above: int) -> int | None:
        if self.holder:
            return None
        self.holder = holder
        return await self.take_epoch()

    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool:
        return (self.holder, self.epoch) == (holder, epoch)

    async def release_lease(self, holder: str, epoch: int) -> None:
        self.holder = ""

    async def hold_lock(self, held: Callable[[int | None], None]) -> None:
        await anyio.sleep_forever()


@asynccontextmanager
async def single(_: Path) -> AsyncIterator[Cluster]:
    yield SingleNode(MemoryLease().take_epoch)


@asynccontextmanager
async def one_of_many(folder: Path) -> AsyncIterator[Cluster]:
    async with running_redis(folder) as server, redis_client(server.url) as redis:
        yield RedisCluster(redis, "n", MemoryLease(), KEYS)


#: Returns a cluster of one node that does not run yet.
Clusters = Callable[[], AbstractAsyncContextManager[Cluster]]


@pytest.fixture(params=[single, one_of_many])
def clusters(request: pytest.FixtureRequest, tmp_path: Path) -> Clusters:
    return partial(request.param, tmp_path)


@dataclass
class Leader:
    """What runs while the node leads."""

    epochs: list[int] = field(default_factory=list)
    running: bool = False

    async def run(self, epoch: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Record the epoch."""
        self.epochs.append(epoch)
        self.running = True
        task_status.started()
        try:
            await anyio.sleep_forever()
        finally:
            self.running = False


@asynccontextmanager
async def leading(clusters: Clusters) -> AsyncIterator[tuple[Cluster, Leader]]:
    """A node that runs and leads."""
    leader = Leader()
    async with clusters() as cluster, anyio.create_task_group() as tasks:
        await tasks.start(cluster.run)
        await tasks.start(cluster.lead, leader.run)
        await eventually(lambda: leader.running, "the node leads", 60)
        yield cluster, leader
        tasks.cancel_scope.cancel()


async def test_a_leader_publishes_to_its_receivers_in_order(clusters: Clusters) -> None:
    """Ticks are numbered from 1 within the epoch; every receiver gets every message at once."""
    async with leading(clusters) as (cluster, leader):
        first: list[Message] = []
        second: list[Message] = []
        cluster.subscribe(first.append)
        cluster.subscribe(second.append)
        state, changed = Upstream(UpstreamState.LIVE, 1), SessionChanged(("s",), "person")
        for message in (tick(1), state, tick(2, "eth_usd"), changed):
            cluster.publish(message)
        assert first == second
        assert [message for message in first if message in (state, changed)] == [state, changed]
        assert places(first) == [(leader.epochs[0], 1), (leader.epochs[0], 2)]


async def test_a_request_is_answered_by_the_handler(clusters: Clusters) -> None:
    """Many requests at once each get their own reply."""
    async with leading(clusters) as (cluster, _):

        async def upper(body: bytes) -> bytes:
            return body.upper()

        replies: dict[bytes, bytes] = {}

        async def ask(body: bytes) -> None:
            replies[body] = await cluster.request(body, seconds=60)

        async with anyio.create_task_group() as tasks:
            await tasks.start(cluster.serve, upper)
            async with anyio.create_task_group() as asking:
                for number in range(20):
                    asking.start_soon(ask, b"body-%d" % number)
            tasks.cancel_scope.cancel()
        assert replies == {b"body-%d" % number: b"BODY-%d" % number for number in range(20)}


async def test_a_request_that_takes_too_long_fails(clusters: Clusters) -> None:
    """The requester gets NoLeader when its time is over."""
    async with leading(clusters) as (cluster, _):

        async def never(_: bytes) -> bytes:
            await anyio.sleep_forever()
            raise AssertionError

        async with anyio.create_task_group() as tasks:
            await tasks.start(cluster.serve, never)
            with pytest.raises(NoLeader, match="within"):
                await cluster.request(b"hello", seconds=0.2)
            tasks.cancel_scope.cancel()


async def test_demand_follows_what_streams_want(clusters: Clusters) -> None:
    """The demand is there at once, and again after each change."""
    async with leading(clusters) as (cluster, _):
        demand = aiter(cluster.demand())
        with anyio.fail_after(60):
            assert await anext(demand) == frozenset()
            cluster.want({"sol_usd": 0, "xrp_usd": 1})
            assert await anext(demand) == {"sol_usd", "xrp_usd"}
            cluster.want({"xrp_usd": 0, "ada_usd": 1})
            assert await anext(demand) == {"ada_usd", "xrp_usd"}


async def test_a_leader_is_a_member_and_leads(clusters: Clusters) -> None:
    """Statistics, members and the questions about leadership agree."""
    async with leading(clusters) as (cluster, _):
        statistics = cluster.statistics()
        assert cluster.leads()
        assert cluster.has_leader()
        assert statistics.leads
        assert statistics.connected
        assert statistics.nodes == cluster.members()
        assert len(cluster.members()) == 1


async def test_each_epoch_is_higher_than_the_last(clusters: Clusters) -> None:
    """A node that leads again has a new epoch."""
    async with clusters() as cluster:
        leader = Leader()
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                await tasks.start(cluster.lead, leader.run)
                await eventually(lambda: leader.running, "the node leads", 60)
                tasks.cancel_scope.cancel()
            assert not leader.running
        assert leader.epochs == [1, 2]


async def test_what_fails_in_the_leader_is_raised(clusters: Clusters) -> None:
    """A failure of the leader's tasks does not go unnoticed."""
    async with clusters() as cluster:

        class Bug(Exception):
            pass

        async def broken(_: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
            task_status.started()
            raise Bug

        async def lead() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(cluster.lead, broken)

        with pytest.RaisesGroup(Bug, flatten_subgroups=True), anyio.fail_after(20):
            await lead()


async def test_a_hand_over_ends_in_time(clusters: Clusters) -> None:
    """A hand-over with a request in progress ends within its time limit."""
    async with leading(clusters) as (cluster, _):
        with anyio.fail_after(30):
            await cluster.hand_over()
