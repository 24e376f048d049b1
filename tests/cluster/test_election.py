"""Leadership over both databases: one leads, the others take over, and who stood still says nothing."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from cryptomarket.cluster.election import SURE_SECONDS, Election
from cryptomarket.errors import DatabaseUnavailable
from cryptomarket.history.store import Store
from tests.processes import eventually


class Node:
    """A node that leads and follows, and remembers its terms."""

    def __init__(self, store: Store, name: str) -> None:
        self.terms: list[int] = []
        self.running = False
        self.now = 0.0
        self.election = Election(store, name, self._leader_tasks)

    async def _leader_tasks(self, epoch: int) -> None:
        self.terms.append(epoch)
        self.running = True
        try:
            await anyio.sleep_forever()
        finally:
            self.running = False


@asynccontextmanager
async def nodes(database_url: str, count: int) -> AsyncIterator[list[Node]]:
    """So many nodes on one database, each with connections of its own."""
    async with AsyncExitStack() as stack:
        found = []
        for number in range(count):
            store = await stack.enter_async_context(Store(database_url, interval=60))
            await store.migrate()
            found.append(Node(store, f"n{number}"))
        async with anyio.create_task_group() as tasks:
            for node in found:
                await tasks.start(node.election.run)
            yield found
            tasks.cancel_scope.cancel()


def leaders(found: list[Node]) -> list[Node]:
    """Those who lead now."""
    return [node for node in found if node.running]


async def test_one_leads_and_another_takes_over(database_url: str) -> None:
    """Of three one leads; when it resigns another does at once, with a higher epoch."""
    async with nodes(database_url, 3) as found:
        first = (await eventually(lambda: leaders(found), "somebody leads"))[0]
        assert first.election.sure
        await first.election.resign()
        assert not first.election.sure
        second = (await eventually(lambda: leaders(found), "another leads"))[0]
        assert second is not first
        assert second.terms[0] > first.terms[0]
        assert len(leaders(found)) == 1


async def test_a_deposed_leader_ends_its_term(database_url: str) -> None:
    """When another start takes the epoch, the term ends at the next renewal, and is taken again later."""
    async with nodes(database_url, 1) as (node,), Store(database_url, interval=60) as other:
        await eventually(lambda: node.running, "it leads")
        epoch = await other.take_epoch()
        assert await other.renew_lease("nobody", epoch, None) is False
        await eventually(lambda: not node.running, "its term ends")
        await eventually(lambda: node.running and node.terms[-1] > epoch, "it leads again")


async def test_hearing_a_higher_epoch_ends_the_term(database_url: str) -> None:
    """A lower or equal epoch changes nothing."""
    async with nodes(database_url, 1) as (node,):
        await eventually(lambda: node.running, "it leads")
        (epoch,) = node.terms
        node.election.heard(epoch)
        node.election.heard(epoch - 1)
        assert node.election.sure
        node.election.heard(epoch + 1)
        assert not node.election.sure
        await eventually(lambda: len(node.terms) == 2, "it leads anew")


async def test_a_database_begun_anew_counts_on(database_url: str) -> None:
    """Others speak of a higher epoch than the database gives, and do not lead: the next term is above theirs."""
    async with nodes(database_url, 1) as (node,):
        await eventually(lambda: node.running, "it leads")
        node.election.heard(500)
        await eventually(lambda: node.running and node.terms[-1] > 500, "it leads anew")
        assert node.terms[-1] == 501


class Stuck:
    """A lease whose database can be taken away, and a clock that can jump."""

    def __init__(self) -> None:
        self.away = False
        self.now = 0.0
        self.epoch = 0
        self.renewed = 0

    async def claim_lease(self, holder: str, session: int | None, above: int) -> int | None:
        if self.away:
            raise DatabaseUnavailable("away")
        self.epoch += 1
        return self.epoch

    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool:
        self.renewed += 1
        if self.away:
            raise DatabaseUnavailable("away")
        return epoch == self.epoch

    async def release_lease(self, holder: str, epoch: int) -> None:
        """Nothing to do."""

    async def hold_lock(self, held: object) -> None:
        await anyio.sleep_forever()


async def test_who_stood_still_says_nothing_until_it_knows() -> None:
    """After a pause longer than two seconds the leader is not sure, although nothing else happened."""
    lease = Stuck()
    led = anyio.Event()

    async def term(_: int) -> None:
        led.set()
        await anyio.sleep_forever()

    election = Election(lease, "n", term, monotonic=lambda: lease.now)
    async with anyio.create_task_group() as tasks:
        await tasks.start(election.run)
        with anyio.fail_after(10):
            await led.wait()
        assert election.sure
        lease.now += SURE_SECONDS + 0.1
        assert not election.sure
        await eventually(lambda: election.sure, "it renewed, and is sure again")
        tasks.cancel_scope.cancel()


async def test_without_the_database_a_leader_goes_on() -> None:
    """It keeps its epoch and stays sure while it keeps asking; a pause in that makes it unsure too."""
    lease = Stuck()

    async def term(_: int) -> None:
        await anyio.sleep_forever()

    election = Election(lease, "n", term, monotonic=lambda: lease.now)
    async with anyio.create_task_group() as tasks:
        await tasks.start(election.run)
        await eventually(lambda: election.sure, "it leads")
        lease.away = True
        for _ in range(2):
            lease.now += 1.5
            before = lease.renewed
            await eventually(lambda before=before: lease.renewed > before, "it asked again")
            await eventually(lambda: election.sure, "it is sure")
        lease.now += SURE_SECONDS + 0.1
        assert not election.sure
        tasks.cancel_scope.cancel()


async def test_a_term_that_fails_is_raised(database_url: str) -> None:
    """A leader with a dead heart does not lead on."""

    class Bug(Exception):
        pass

    async def broken(_: int) -> None:
        raise Bug

    async with Store(database_url, interval=60) as store:
        await store.migrate()
        with pytest.RaisesGroup(Bug, flatten_subgroups=True), anyio.fail_after(20):
            await Election(store, "n", broken).run()
