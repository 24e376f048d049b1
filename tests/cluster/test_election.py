"""The election over both databases: one node leads, another replaces it, and one that stood still does not publish."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio
import pytest
from anyio.abc import TaskStatus

from cryptomarket.cluster.election import VALID_SECONDS, Election
from cryptomarket.database.lease import DatabaseLease
from cryptomarket.errors import DatabaseUnavailable
from tests.databases import StoredHistory
from tests.processes import eventually


class Node:
    """A node that leads and follows, and records its epochs."""

    def __init__(self, store: StoredHistory, name: str) -> None:
        self.epochs: list[int] = []
        self.running = False
        self.now = 0.0
        self.election = Election(DatabaseLease(store.database), name)

    async def run_as_leader(self, epoch: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        self.epochs.append(epoch)
        self.running = True
        try:
            await anyio.sleep_forever()
        finally:
            self.running = False


@asynccontextmanager
async def nodes(database_url: str, count: int) -> AsyncIterator[list[Node]]:
    """Nodes on one database, each with its own connections."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(count):
            store = await stack.enter_async_context(StoredHistory(database_url, interval=60))
            await store.migrate()
            found.append(Node(store, f"n{number}"))
        async with anyio.create_task_group() as tasks:
            for node in found:
                await tasks.start(node.election.run, node.run_as_leader)
            yield found
            tasks.cancel_scope.cancel()


def leaders(found: list[Node]) -> list[Node]:
    """The nodes that lead now."""
    return [node for node in found if node.running]


async def test_one_leads_and_another_takes_over(database_url: str) -> None:
    """Of three nodes one leads; when it resigns, another leads with a higher epoch."""
    async with nodes(database_url, 3) as found:
        first = (await eventually(lambda: leaders(found), "one leads"))[0]
        assert first.election.may_lead()
        await first.election.resign()
        assert not first.election.may_lead()
        second = (await eventually(lambda: leaders(found), "another leads"))[0]
        assert second is not first
        assert second.epochs[0] > first.epochs[0]
        assert len(leaders(found)) == 1


async def test_a_deposed_leader_stops(database_url: str) -> None:
    """When another process takes an epoch, the leader stops at its next renewal and leads again later."""
    async with nodes(database_url, 1) as (node,), StoredHistory(database_url, interval=60) as other:
        await eventually(lambda: node.running, "it leads")
        epoch = await other.take_epoch()
        assert await DatabaseLease(other.database).renew_lease("other", epoch, None) is False
        await eventually(lambda: not node.running, "it stops")
        await eventually(lambda: node.running and node.epochs[-1] > epoch, "it leads again")


async def test_a_higher_epoch_of_another_node_stops_the_leader(database_url: str) -> None:
    """A lower or equal epoch changes nothing."""
    async with nodes(database_url, 1) as (node,):
        await eventually(lambda: node.running, "it leads")
        (epoch,) = node.epochs
        node.election.observe_epoch(epoch)
        node.election.observe_epoch(epoch - 1)
        assert node.election.may_lead()
        node.election.observe_epoch(epoch + 1)
        assert not node.election.may_lead()
        await eventually(lambda: len(node.epochs) == 2, "it leads again")


async def test_a_new_database_continues_above_the_epochs_of_redis(database_url: str) -> None:
    """Other nodes know a higher epoch than the database: the next epoch is higher than theirs."""
    async with nodes(database_url, 1) as (node,):
        await eventually(lambda: node.running, "it leads")
        node.election.observe_epoch(500)
        await eventually(lambda: node.running and node.epochs[-1] > 500, "it leads again")
        assert node.epochs[-1] == 501


class FakeLease:
    """A lease whose database can be down, and a clock that can jump."""

    def __init__(self) -> None:
        self.down = False
        self.now = 0.0
        self.epoch = 0
        self.renewed = 0

    async def claim_lease(self, holder: str, session: int | None, above: int) -> int | None:
        if self.down:
            raise DatabaseUnavailable("down")
        self.epoch += 1
        return self.epoch

    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool:
        self.renewed += 1
        if self.down:
            raise DatabaseUnavailable("down")
        return epoch == self.epoch

    async def release_lease(self, holder: str, epoch: int) -> None:
        """Nothing to do."""

    async def hold_lock(self, held: object) -> None:
        await anyio.sleep_forever()


async def test_a_leader_that_stood_still_may_not_lead_until_it_renewed() -> None:
    """After two seconds without a renewal the leader may not publish, although nothing else happened."""
    lease = FakeLease()
    led = anyio.Event()

    async def lead(_: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        led.set()
        await anyio.sleep_forever()

    election = Election(lease, "n", monotonic=lambda: lease.now)
    async with anyio.create_task_group() as tasks:
        await tasks.start(election.run, lead)
        with anyio.fail_after(10):
            await led.wait()
        assert election.may_lead()
        lease.now += VALID_SECONDS + 0.1
        assert not election.may_lead()
        await eventually(lambda: election.may_lead(), "it renewed the lease")
        tasks.cancel_scope.cancel()


async def test_a_leader_goes_on_without_the_database() -> None:
    """It may lead while it keeps trying to renew; a pause in its attempts ends that too."""
    lease = FakeLease()

    async def lead(_: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        await anyio.sleep_forever()

    election = Election(lease, "n", monotonic=lambda: lease.now)
    async with anyio.create_task_group() as tasks:
        await tasks.start(election.run, lead)
        await eventually(lambda: election.may_lead(), "it leads")
        lease.down = True
        for _ in range(2):
            lease.now += 1.5
            before = lease.renewed
            await eventually(partial(lambda since: lease.renewed > since, before), "it tried again")
            await eventually(lambda: election.may_lead(), "it may lead")
        lease.now += VALID_SECONDS + 0.1
        assert not election.may_lead()
        tasks.cancel_scope.cancel()


async def test_what_fails_in_the_leader_is_raised(database_url: str) -> None:
    """A leader whose tasks failed does not go on leading."""

    class Bug(Exception):
        pass

    async def broken(_: int, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        raise Bug

    async with StoredHistory(database_url, interval=60) as store:
        await store.migrate()
        with pytest.RaisesGroup(Bug, flatten_subgroups=True), anyio.fail_after(20):
            await Election(DatabaseLease(store.database), "n").run(broken)
