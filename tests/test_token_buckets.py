"""The token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.addresses import WIDER
from cryptomarket.token_buckets import TokenBuckets


def test_the_wait_is_exact() -> None:
    """A refused call succeeds after the returned wait, and not before."""
    buckets = TokenBuckets(2.0, 10.0)
    assert buckets.take(("a",), 10.0, 0.0) == 0.0
    wait = buckets.take(("a",), 3.0, 1.0)
    assert wait == 0.5
    assert buckets.take(("a",), 3.0, 1.0 + wait - 0.01) > 0.0
    assert buckets.take(("a",), 3.0, 1.0 + wait) == 0.0


def test_a_cost_above_the_burst_needs_a_full_bucket() -> None:
    """It is granted once, and what it took beyond the burst is waited for."""
    buckets = TokenBuckets(1.0, 10.0)
    assert buckets.take(("a",), 30.0, 0.0) == 0.0
    assert buckets.take(("a",), 1.0, 0.0) == 21.0


def test_work_that_was_done_is_charged_in_full() -> None:
    """The bucket may hold less than nothing."""
    buckets = TokenBuckets(1.0, 10.0)
    buckets.charge(("a",), 15.0, 0.0)
    assert buckets.take(("a",), 1.0, 0.0) == 6.0


def test_a_wider_group_bounds_all_of_its_networks() -> None:
    """Each /64 has its own bucket; together they have that of their /48."""
    buckets = TokenBuckets(1.0, 10.0)
    taken = sum(not buckets.take((f"net{number}", "wide"), 1.0, 0.0) for number in range(1000))
    assert taken == 10 * WIDER
    assert buckets.take(("net1000", "another"), 1.0, 0.0) == 0.0


def test_a_refused_call_takes_nothing_from_either() -> None:
    """When the wider bucket is empty the narrower one stays as it was."""
    buckets = TokenBuckets(1.0, 10.0)
    buckets.charge(("other", "wide"), 10.0 * WIDER, 0.0)
    assert buckets.take(("a", "wide"), 10.0, 0.0) > 0.0
    assert buckets.take(("a",), 10.0, 0.0) == 0.0


def test_buckets_are_bounded() -> None:
    """Those unused for longest are forgotten."""
    buckets = TokenBuckets(1.0, 10.0, most=100)
    for number in range(1000):
        buckets.charge((str(number),), 10.0, 0.0)
    assert len(buckets) == 100
    assert buckets.take(("999",), 1.0, 0.0) > 0.0


@given(st.lists(st.tuples(st.floats(0.0, 5.0), st.floats(0.1, 20.0)), max_size=50))
def test_no_more_is_granted_than_flows_in(calls: list[tuple[float, float]]) -> None:
    """Whatever the order of calls, the burst, the inflow and one call above it bound what is taken."""
    buckets = TokenBuckets(2.0, 10.0)
    now = granted = 0.0
    largest = 0.0
    for pause, cost in calls:
        now += pause
        if not buckets.take(("a",), cost, now):
            granted += cost
            largest = max(largest, cost)
    assert granted <= 10.0 + 2.0 * now + max(0.0, largest - 10.0) + 1e-6
