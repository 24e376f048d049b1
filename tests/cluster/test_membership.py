"""Who knows of whom: the leader hears all, and reads the roll to the others."""

from cryptomarket.cluster.redis.codec import Batch
from cryptomarket.cluster.redis.membership import GONE_SECONDS, ROLL_SECONDS, Membership


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def beat(node: str, *wanted: str, nodes: tuple[str, ...] = ()) -> Batch:
    """What a node says that has nothing to say."""
    return Batch(node, 1 if nodes else 0, 0, wanted, [], nodes)


def test_the_leader_hears_who_is_there_and_what_they_want() -> None:
    """Until they are silent for long."""
    clock = Clock()
    peers = Membership("a", monotonic=clock)
    peers.hear(beat("c", "sol_usd"))
    clock.now += GONE_SECONDS / 2
    peers.hear(beat("b", "xrp_usd"))
    assert peers.names() == ["a", "b", "c"]
    assert peers.wanted() == {"sol_usd", "xrp_usd"}
    clock.now += GONE_SECONDS / 2
    assert peers.names() == ["a", "b"]
    assert peers.wanted() == {"xrp_usd"}


def test_the_roll_is_read_when_it_changed_and_now_and_then() -> None:
    """Not with every batch."""
    clock = Clock()
    peers = Membership("a", monotonic=clock)
    peers.hear(beat("b"))
    assert peers.roll() == ("a", "b")
    assert peers.roll() == ()
    peers.hear(beat("c"))
    assert peers.roll() == ("a", "b", "c")
    clock.now += ROLL_SECONDS - 1
    assert peers.roll() == ()
    clock.now += 1
    assert peers.roll() == ("a", "b", "c")


def test_a_follower_knows_the_roll_and_a_leader_forgets_it() -> None:
    """Who was read to us may be gone when we lead."""
    peers = Membership("b", monotonic=Clock())
    peers.hear(beat("a", nodes=("a", "b", "c")))
    assert peers.names() == ["a", "b", "c"]
    peers.hear(beat("a"))
    assert peers.names() == ["a", "b", "c"]
    peers.lead()
    assert peers.names() == ["a", "b"]
