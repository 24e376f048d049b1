"""The latest values, and whether they are current."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Gap, Tick, Upstream, UpstreamState


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def latest(clock: Clock) -> LatestValues:
    return LatestValues(["btc_usd", "eth_usd"], monotonic=clock, wall=clock)


def tick(ticker: str = "btc_usd", price: str = "1", sequence: int = 1, epoch: int = 1, ms: int = 0) -> Tick:
    return Tick(ticker, Decimal(price), ms, epoch=epoch, sequence=sequence)


def arrive(latest: LatestValues, clock: Clock, *tickers: str, seconds: int = 10) -> None:
    for _ in range(seconds):
        clock.now += 1
        for ticker in tickers:
            latest.on_message(tick(ticker))


def test_the_last_to_arrive_is_the_newest(latest: LatestValues) -> None:
    """The last to arrive is the newest, whatever its exchange timestamp."""
    latest.on_message(tick(price="1", ms=5000))
    latest.on_message(tick(price="2", ms=4000))
    newest = latest.tick("btc_usd")
    assert newest is not None
    assert newest.price == 2


def test_a_lower_epoch_is_refused(latest: LatestValues) -> None:
    """A tick of a lower epoch changes nothing."""
    latest.on_message(tick(price="1", epoch=2))
    latest.on_message(tick(price="9", epoch=1))
    newest = latest.tick("btc_usd")
    assert newest is not None
    assert newest.price == 1


def test_live_while_every_ticker_has_ticks(latest: LatestValues, clock: Clock) -> None:
    """While no ticker is silent, the state is that of the connection."""
    latest.on_message(Upstream(UpstreamState.LIVE, 1_000_000))
    arrive(latest, clock, "btc_usd", "eth_usd")
    assert latest.upstream().state is UpstreamState.LIVE


def test_one_silent_ticker_makes_upstream_stale_until_its_next_tick(latest: LatestValues, clock: Clock) -> None:
    """A ticker silent for five of its usual pauses is stale until its next tick."""
    latest.on_message(Upstream(UpstreamState.LIVE, 1_000_000))
    arrive(latest, clock, "btc_usd", "eth_usd")
    arrive(latest, clock, "btc_usd", seconds=6)
    shown = latest.upstream()
    assert shown.state is UpstreamState.STALE
    assert "eth_usd" in shown.reason
    assert latest.ages(["eth_usd"])["eth_usd"] == 6000
    latest.on_message(tick("eth_usd"))
    assert latest.upstream().state is UpstreamState.LIVE


def test_a_configured_ticker_without_a_first_tick_is_stale(latest: LatestValues, clock: Clock) -> None:
    """A live connection without a first tick of a configured ticker is stale after a while."""
    latest.on_message(Upstream(UpstreamState.LIVE, 1_000_000))
    arrive(latest, clock, "btc_usd", seconds=4)
    assert latest.silent() == ["eth_usd"]


def test_a_refused_ticker_is_not_stale(latest: LatestValues, clock: Clock) -> None:
    """A ticker that the exchange refuses does not make upstream stale."""
    latest.on_message(Upstream(UpstreamState.LIVE, 1_000_000))
    latest.on_message(Gap("eth_usd"))
    arrive(latest, clock, "btc_usd", seconds=6)
    assert latest.upstream().state is UpstreamState.LIVE


def test_the_state_keeps_its_since(latest: LatestValues, clock: Clock) -> None:
    """`since` is when the state began, not when it was read."""
    latest.on_message(Upstream(UpstreamState.DOWN, 1_005_000))
    first = latest.upstream()
    clock.now += 60
    assert latest.upstream() == first
    assert first.since == 1_005_000


def test_the_silence_of_a_released_ticker_is_not_stale(latest: LatestValues, clock: Clock) -> None:
    """A ticker that is followed no more is dropped with its value; the configured ones stay."""
    latest.on_message(Upstream(UpstreamState.LIVE, 1_000_000))
    latest.follow(frozenset({"sol_usdc"}), frozenset())
    arrive(latest, clock, "btc_usd", "eth_usd", "sol_usdc")
    assert latest.tick("sol_usdc") is not None
    latest.follow(frozenset(), frozenset({"sol_usdc"}))
    assert latest.tick("sol_usdc") is None
    arrive(latest, clock, "btc_usd", "eth_usd", seconds=8)
    assert latest.upstream().state is UpstreamState.LIVE
    assert latest.tick("btc_usd") is not None


def test_d4_what_only_streams_want_changes_no_state(clock: Clock) -> None:
    """A silent ticker that one stream asked for has an age; with no configured ticker, connected is live."""
    latest = LatestValues([], monotonic=clock, wall=clock)
    latest.on_message(Upstream(UpstreamState.LIVE, 1_000_000))
    latest.follow(frozenset({"sol_usdc"}), frozenset())
    arrive(latest, clock, "sol_usdc")
    clock.now += 60
    assert latest.upstream().state is UpstreamState.LIVE
    assert latest.ages(["sol_usdc", "eth_usd"]) == {"sol_usdc": 60_000}
