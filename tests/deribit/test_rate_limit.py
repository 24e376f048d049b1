"""The budget: nothing goes out that the exchange would refuse, and everything goes out in the end."""

import random

import pytest

from cryptomarket.deribit.doors import DOORS
from cryptomarket.deribit.rate_limit import Group, RateLimiter, group_of


def spend(budget: RateLimiter, group: Group, count: int, now: float = 0.0) -> list[float]:
    """The times at which so many requests of a group may go, each as soon as it may."""
    times = []
    for _ in range(count):
        while pause := budget.wait(group, now):
            now += pause + 1e-9
        budget.take(group, now)
        times.append(now)
    return times


def most_within(times: list[float], window: float) -> int:
    return max(sum(start <= t < start + window for t in times) for start in times)


@pytest.mark.parametrize("group", list(Group))
def test_never_more_than_fifteen_in_any_second(group: Group) -> None:
    """The outer cap binds every group, bursts included; one of the fifteen is kept for heartbeats."""
    assert most_within(spend(RateLimiter(), group, 60), 1.0) <= 14


def test_subscribes_go_ten_at_once_and_then_three_in_a_second() -> None:
    """3,000 credits each of 30,000, refilled with 10,000 a second."""
    times = spend(RateLimiter(), Group.SUBSCRIBE, 40)
    assert times[9] < 0.01
    assert times[39] - times[9] == pytest.approx(30 * 0.3, abs=0.05)


def test_instruments_are_asked_once_a_second_after_the_burst() -> None:
    """10,000 credits each of 500,000."""
    times = spend(RateLimiter(), Group.INSTRUMENTS, 80)
    assert times[79] - times[69] == pytest.approx(10, abs=0.1)


def test_a_door_may_allow_fewer_lists_of_instruments_at_once() -> None:
    """Coinbase says one a second and nothing of a burst."""
    at_once = DOORS["coinbase"].instrument_lists_at_once
    times = spend(RateLimiter(instrument_lists_at_once=at_once), Group.INSTRUMENTS, 5)
    assert times == pytest.approx([0, 1, 2, 3, 4], abs=0.01)


def test_the_wait_that_the_exchange_asks_for_is_kept() -> None:
    """Nothing but a heartbeat goes before its end, also if a later refusal asks for less."""
    budget = RateLimiter()
    budget.slow_down(0.0, 30.0)
    budget.slow_down(1.0)
    assert budget.wait(Group.SUBSCRIBE, 10.0) == 20.0
    assert budget.wait(Group.NON_MATCHING, 29.0, urgent=True) == 0
    assert budget.wait(Group.NON_MATCHING, 31.0) == 0


def test_a_heartbeat_never_waits_for_credits() -> None:
    """Whatever was spent, the answer to a test_request goes at once."""
    budget = RateLimiter()
    spend(budget, Group.NON_MATCHING, 14)
    assert budget.wait(Group.NON_MATCHING, 0.0) > 0
    assert budget.wait(Group.NON_MATCHING, 0.0, urgent=True) == 0
    budget.slow_down(0.0)
    assert budget.wait(Group.NON_MATCHING, 5.0, urgent=True) == 0
    budget.slow_down(5.0)
    assert budget.wait(Group.NON_MATCHING, 5.0) > 0
    assert budget.wait(Group.NON_MATCHING, 5.0, urgent=True) == 0


def test_told_off_it_halves_its_pace_and_recovers() -> None:
    """10028 slows the client down for minutes, not for ever."""
    budget = RateLimiter()
    budget.slow_down(0.0)
    budget.slow_down(0.0)
    assert most_within(spend(budget, Group.NON_MATCHING, 12, now=5.0), 1.0) <= 3
    budget.wait(Group.NON_MATCHING, 125.0)
    assert "100%" in repr(budget)


def test_crowded_it_allows_fewer_at_once_and_recovers() -> None:
    """10066 is about unanswered requests, not about their rate."""
    budget = RateLimiter(concurrent=8)
    budget.limit_concurrency(0.0)
    assert budget.concurrent == 4
    budget.wait(Group.NON_MATCHING, 60.0)
    assert budget.concurrent == 8


def test_stays_within_the_exchange_s_own_buckets() -> None:
    """A model of the exchange's accounting, written apart, never sees an overdraft."""
    chance, budget, now = random.Random(5), RateLimiter(), 0.0
    costs = {
        "public/subscribe": (3000, 30_000),
        "public/get_instruments": (10_000, 500_000),
        "public/test": (500, 50_000),
    }
    levels = {method: float(capacity) for method, (_, capacity) in costs.items()}
    filled = dict.fromkeys(costs, 0.0)
    for _ in range(3000):
        method = chance.choice(list(costs))
        while pause := budget.wait(group_of(method), now):
            now += pause
        budget.take(group_of(method), now)
        cost, capacity = costs[method]
        levels[method] = min(capacity, levels[method] + (now - filled[method]) * 10_000) - cost
        filled[method] = now
        assert levels[method] >= -1e-6
        now += chance.random() * 0.02
