"""The demand of one node: what is followed, for how long, who is charged, and who is notified."""

import random

from cryptomarket.addresses import address_groups
from cryptomarket.market.demand import ADDRESS_FULL, ALL_FULL, NOBODY, Demand

BTC, ETH, SOL = (frozenset({name}) for name in ("btc_usd", "eth_usd", "sol_usd"))
NONE: frozenset[str] = frozenset()
ALICE, BOB = ("192.0.2.1",), ("192.0.2.2",)


def names(prefix: str, count: int) -> frozenset[str]:
    """So many names of tickers."""
    return frozenset(f"{prefix}-{i:03}" for i in range(count))


def changes_of(demand: Demand) -> list[tuple[frozenset[str], frozenset[str]]]:
    """The changes that a subscriber is notified of, as they happen."""
    found: list[tuple[frozenset[str], frozenset[str]]] = []
    demand.subscribe(lambda added, released: found.append((added, released)))
    return found


def test_a_ticker_is_added_once_and_released_once() -> None:
    """However many streams want it, subscribers are notified at the first and a grace period after the last."""
    demand = Demand(BTC, grace_seconds=30)
    changes = changes_of(demand)
    demand.join(ETH | BTC)
    demand.join(ETH)
    demand.leave(ETH, (), 100.0)
    demand.leave(ETH | BTC, (), 110.0)
    demand.release(139.9)
    assert (demand.tickers, changes) == (ETH, [(ETH, NONE)])
    demand.release(140.0)
    assert (demand.tickers, changes) == (NONE, [(ETH, NONE), (NONE, ETH)])


def test_a_reload_within_the_grace_period_changes_nothing() -> None:
    """A ticker that is wanted again is not released, and its next grace period is a whole one."""
    demand = Demand(BTC, grace_seconds=30)
    changes = changes_of(demand)
    demand.join(ETH)
    demand.leave(ETH, (), 0.0)
    demand.join(ETH)
    demand.release(60.0)
    demand.leave(ETH, (), 70.0)
    demand.release(99.0)
    assert changes == [(ETH, NONE)]


def test_more_tickers_than_allowed_are_not_followed_and_the_rest_is() -> None:
    """Configured tickers count and are always followed. A ticker beyond the limit is followed once there is room."""
    demand = Demand(BTC, max_tickers=2)
    changes = changes_of(demand)
    assert demand.join(ETH) == {}
    assert demand.join(SOL | BTC) == {"sol_usd": ALL_FULL}
    assert demand.tickers == ETH
    demand.release(0.0)
    demand.leave(ETH, (), 1.0)
    demand.release(1.25)
    assert demand.tickers == SOL
    assert changes == [(ETH, NONE), (SOL, ETH)]


def test_a_ticker_that_nobody_wants_makes_room() -> None:
    """A client that reconnects with other tickers does not keep room for its former ones."""
    demand = Demand(BTC, max_tickers=201)
    for turn in range(50):
        wanted = names(f"T{turn}", 20)
        assert demand.join(wanted, ALICE) == {}
        demand.leave(wanted, ALICE, float(turn))
    assert len(demand.tickers) == 200
    assert demand.join(names("HONEST", 20), BOB) == {}


def test_ten_streams_of_one_address_leave_room_for_others() -> None:
    """One address gets at most twenty tickers, whatever the number of its streams. Another address gets its own."""
    demand = Demand(BTC)
    for i in range(10):
        full = demand.join(names(f"T{i}", 20), ALICE)
        assert set(full.values()) <= {ADDRESS_FULL}
        assert bool(full) is bool(i)
    assert len(demand.tickers) == 20
    assert demand.join(names("HONEST", 20), BOB) == {}


def test_the_networks_of_an_ipv6_address_have_shares_too() -> None:
    """A /64 is charged as an address, a /48 for four times as many."""
    demand = Demand(BTC, max_tickers=1000)
    for i in range(10):
        demand.join(names(f"T{i}", 20), address_groups(f"2001:db8:7:{i:x}::1"))
    assert len(demand.tickers) == 80
    assert demand.join(names("A", 20), address_groups("2001:db8:8::1")) == {}


def test_a_share_is_free_again_when_its_streams_leave() -> None:
    """A stream gets the ticker that was refused, without reconnecting, once another stream of its address ends."""
    demand = Demand(BTC, max_tickers_per_address=1)
    demand.join(ETH, ALICE)
    assert demand.join(SOL, ALICE) == {"sol_usd": ADDRESS_FULL}
    demand.release(0.0)
    assert demand.tickers == ETH
    demand.leave(ETH, ALICE, 1.0)
    demand.release(1.0)
    assert demand.tickers == ETH | SOL


def test_a_ticker_that_another_address_is_charged_for_costs_nothing() -> None:
    """When the charged address leaves, the other is charged if it has room. If not, the ticker is released later."""
    demand = Demand(BTC, max_tickers_per_address=1)
    demand.join(ETH, ALICE)
    demand.join(SOL, BOB)
    assert demand.join(ETH, BOB) == {}
    demand.leave(ETH, ALICE, 0.0)
    demand.release(29.0)
    assert demand.tickers == ETH | SOL
    demand.release(30.0)
    assert demand.tickers == SOL
    demand.leave(SOL, BOB, 31.0)
    demand.release(31.0)
    assert demand.tickers == ETH | SOL
    assert demand.ranks() == {"eth_usd": 0, "sol_usd": NOBODY}


def test_ranks_count_the_tickers_of_each_address() -> None:
    """The first ticker of every address comes before the second of any."""
    demand = Demand(NONE)
    demand.join(frozenset("ABC"), ALICE)
    demand.join(frozenset("XY"), BOB)
    assert demand.ranks() == {"A": 0, "B": 1, "C": 2, "X": 0, "Y": 1}


def test_whatever_comes_and_goes_the_limits_hold_and_nothing_is_left() -> None:
    """Subscribers see each ticker added before it is released, and the room is used while anybody waits for it."""
    draw = random.Random(7)
    demand = Demand(BTC, max_tickers=13, max_tickers_per_address=5, grace_seconds=3)
    followed: set[str] = set()

    def changed(added: frozenset[str], released: frozenset[str]) -> None:
        assert not added & followed
        assert released <= followed
        assert not added & released
        followed.difference_update(released)
        followed.update(added)

    demand.subscribe(changed)
    people = [address_groups(f"192.0.2.{i}") for i in range(4)] + [
        address_groups(f"2001:db8::{i}:0:0:0:1") for i in "123456"
    ]
    streams: list[tuple[frozenset[str], tuple[str, ...]]] = []
    for step in range(5_000):
        if streams and draw.random() < 0.5:
            tickers, groups = streams.pop(draw.randrange(len(streams)))
            demand.leave(tickers, groups, float(step))
        else:
            tickers, groups = frozenset(draw.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4)) | BTC, draw.choice(people)
            full = demand.join(tickers, groups)
            assert set(full).isdisjoint(demand.tickers)
            assert tickers - BTC - set(full) <= demand.tickers
            streams.append((tickers, groups))
        if draw.random() < 0.3:
            demand.release(float(step))
        assert followed == demand.tickers
        assert len(followed) <= 12
        shares = {group: demand._shares[group] for group in demand._shares}
        charged = {group: len([1 for groups in demand._charged.values() if group in groups]) for group in shares}
        assert shares == charged
        assert all(count <= (20 if group.endswith("/48") else 5) for group, count in charged.items())
    for tickers, groups in streams:
        demand.leave(tickers, groups, 5_000.0)
    demand.release(5_003.0)
    assert not any((demand.tickers, demand._wanted, demand._waiting, demand._shares, demand._charged))


def test_a_crowd_of_waiting_tickers_is_searched_in_steps() -> None:
    """A ticker that can be followed is found after a few searches, each of at most fifty tickers."""
    demand = Demand(NONE, max_tickers=2, max_tickers_per_address=1)
    demand.join(frozenset({"alice"}), ALICE)
    demand.join(frozenset({"carol"}), ("192.0.2.3",))
    for i in range(500):
        assert demand.join(frozenset({f"T{i:03}"}), ALICE)
    assert demand.join(frozenset({"bob"}), BOB) == {"bob": ALL_FULL}
    demand.leave(frozenset({"carol"}), ("192.0.2.3",), 0.0)
    for _ in range(11):
        demand.release(0.0)
    assert demand.tickers == {"alice", "bob"}
