"""The demand of one node: what is followed, for how long, and who is notified."""

import pytest

from cryptomarket.errors import InvalidParameter
from cryptomarket.market.demand import Demand

BTC, ETH, SOL = (frozenset({name}) for name in ("btc_usd", "eth_usd", "sol_usd"))
NONE: frozenset[str] = frozenset()


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
    demand.leave(ETH, 100.0)
    demand.leave(ETH | BTC, 110.0)
    demand.release(139.9)
    assert (demand.tickers, changes) == (ETH, [(ETH, NONE)])
    demand.release(140.0)
    assert (demand.tickers, changes) == (NONE, [(ETH, NONE), (NONE, ETH)])


def test_a_reload_within_the_grace_period_changes_nothing() -> None:
    """A ticker that is wanted again is not released, and its next grace period is a whole one."""
    demand = Demand(BTC, grace_seconds=30)
    changes = changes_of(demand)
    demand.join(ETH)
    demand.leave(ETH, 0.0)
    demand.join(ETH)
    demand.release(60.0)
    demand.leave(ETH, 70.0)
    demand.release(99.0)
    assert changes == [(ETH, NONE)]


def test_more_tickers_than_allowed_are_refused() -> None:
    """Tickers in their grace period count, configured ones are always taken, and a refusal changes nothing."""
    demand = Demand(BTC, max_tickers=2, grace_seconds=30)
    demand.join(ETH)
    demand.leave(ETH, 0.0)
    with pytest.raises(InvalidParameter, match="2 that are followed"):
        demand.join(SOL)
    demand.join(BTC)
    assert demand.tickers == ETH
    demand.release(30.0)
    demand.join(SOL)
    assert demand.tickers == SOL
