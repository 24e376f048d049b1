"""Which nodes are present: the leader receives from all, and announces the names to the others."""

import anyio

from cryptomarket.cluster.redis.codec import Batch
from cryptomarket.cluster.redis.membership import ABSENT_SECONDS, ANNOUNCE_SECONDS, Membership
from cryptomarket.market.demand import NOBODY


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


async def test_no_node_and_no_address_takes_all_the_room() -> None:
    """The first ticker of every address comes before the second of any, on whatever node; one in grace is the last."""
    refused: list[str] = []
    membership = Membership("a", max_wanted=20, refused=refused.extend, monotonic=Clock())
    for node in "bcdefghijk":  # one address with twenty tickers on each of ten nodes
        membership.observe(beat(node, *(f"{node}{i}" for i in range(20))))
    assert len(await demand(membership)) == 20
    membership.want({"honest": 0, "left": NOBODY})
    found = await demand(membership)
    assert "honest" in found
    assert "left" not in found
    assert found >= {f"{node}0" for node in "bcdefghijk"}
    assert set(refused) >= {"left", "b19"}


async def test_what_is_followed_stays_followed_among_equals() -> None:
    """A newcomer of the same rank waits, is told so once, and is followed when one leaves."""
    refused: list[str] = []
    membership = Membership("a", max_wanted=2, refused=refused.extend, monotonic=Clock())
    membership.observe(beat("m", "m_usd"))
    membership.observe(beat("n", "n_usd"))
    membership.observe(beat("b", "b_usd"))
    membership.refresh()
    assert await demand(membership) == {"m_usd", "n_usd"}
    assert refused == ["b_usd"]
    membership.observe(beat("c", "b_usd"))
    assert refused == ["b_usd", "b_usd"]
    membership.observe(beat("n"))
    assert await demand(membership) == {"m_usd", "b_usd"}


async def test_a_node_is_believed_a_bounded_number_of_tickers() -> None:
    """However many its batch names."""
    membership = Membership("a", max_wanted=5, monotonic=Clock())
    membership.observe(beat("b", *(f"T{i}" for i in range(20_000))))
    assert len(membership._others["b"].wanted) == 10_000
