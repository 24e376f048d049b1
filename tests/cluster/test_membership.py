"""Which nodes are present: the leader receives from all, and announces the names to the others."""

import anyio

from cryptomarket.cluster.redis.codec import Batch
from cryptomarket.cluster.redis.membership import ABSENT_SECONDS, ANNOUNCE_SECONDS, Membership


class Clock:
    """Seconds that pass when a test adds them."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def beat(node: str, *wanted: str, nodes: tuple[str, ...] = ()) -> Batch:
    """A batch without messages."""
    return Batch(node, 1, 1 if nodes else 0, 0, {ticker: rank for rank, ticker in enumerate(wanted)}, [], nodes)


async def demand(membership: Membership) -> frozenset[str]:
    """The tickers wanted now."""
    with anyio.fail_after(10):
        return await anext(aiter(membership.demand()))


async def test_a_silent_node_is_absent_and_wants_nothing() -> None:
    """The others stay, and so does what this node wants."""
    clock = Clock()
    membership = Membership("a", monotonic=clock)
    membership.want({"ada_usd": 0})
    membership.observe(beat("c", "sol_usd"))
    clock.now += ABSENT_SECONDS / 2
    membership.observe(beat("b", "xrp_usd"))
    assert membership.names() == ("a", "b", "c")
    assert await demand(membership) == {"ada_usd", "sol_usd", "xrp_usd"}
    clock.now += ABSENT_SECONDS / 2
    membership.refresh()
    assert membership.names() == ("a", "b")
    assert await demand(membership) == {"ada_usd", "xrp_usd"}


def test_names_are_announced_when_they_change_and_now_and_then() -> None:
    """Not with every batch."""
    clock = Clock()
    membership = Membership("a", monotonic=clock)
    membership.observe(beat("b"))
    assert membership.announcement() == ("a", "b")
    assert membership.announcement() == ()
    membership.observe(beat("c"))
    assert membership.announcement() == ("a", "b", "c")
    clock.now += ANNOUNCE_SECONDS - 1
    assert membership.announcement() == ()
    clock.now += 1
    assert membership.announcement() == ("a", "b", "c")


def test_a_leader_forgets_the_names_that_another_announced() -> None:
    """A follower keeps them: the nodes announced may be absent by the time it leads."""
    membership = Membership("b", monotonic=Clock())
    membership.observe(beat("a", nodes=("a", "b", "c")))
    assert membership.names() == ("a", "b", "c")
    membership.observe(beat("a"))
    assert membership.names() == ("a", "b", "c")
    membership.lead()
    assert membership.names() == ("a", "b")
