"""Events of the connection channel, and slow readers, under a simulated clock."""

import pytest

from cryptomarket.model import Gap, Upstream, UpstreamState

from .reader import Harness, Reader


@pytest.fixture
def harness() -> Harness:
    """A manager of btc_usd and eth_usd, with its bus and clock."""
    return Harness()


# Slow readers


def test_a_blocked_stream_receives_the_newest_when_it_resumes(harness: Harness) -> None:
    """It receives no backlog: one event for each ticker, then the state if it changed."""
    harness.live()
    reader, _ = harness.join(0)
    reader.clear()
    reader.stalled = True
    harness.publish(1, 2, 3)
    harness.turn()
    harness.publish(4, 5)
    harness.turn()
    reader.wake()
    harness.publish(6)
    harness.turn()
    assert reader.prices() == [5, 6]
    assert reader.channel_events() == []
    assert harness.manager.statistics().conflated == 4


def test_a_blocked_stream_receives_a_change_of_state_when_it_resumes(harness: Harness) -> None:
    """The newest price comes first, then the current state once."""
    harness.live()
    harness.publish(1)
    reader, _ = harness.join(0)
    reader.clear()
    reader.stalled = True
    harness.publish(2)
    harness.turn()
    harness.bus.publish(Upstream(UpstreamState.DOWN, 5))
    harness.turn()
    reader.wake()
    assert [e.event for e in reader.events] == ["btc_usd", "connection"]
    assert reader.channel_events("upstream")[0]["state"] == "down"


def test_a_slow_reader_does_not_delay_others(harness: Harness) -> None:
    """The other streams receive every tick while one stalls."""
    slow, _ = harness.join(0)
    slow.stalled = True
    others = [harness.join(0)[0] for _ in range(5)]
    for price in range(1, 50):
        harness.publish(price)
        harness.turn()
    assert all(other.prices() == list(range(1, 50)) for other in others)
    assert harness.manager.statistics().blocked_now == 1


def test_a_reader_blocked_for_a_minute_is_closed_and_counted(harness: Harness) -> None:
    """A stream is closed after 60 s blocked, unless it took something in between."""
    dead, _ = harness.join(0)
    slow, _ = harness.join(0)
    dead.stalled = slow.stalled = True
    harness.publish(1)
    harness.advance(59)
    slow.wake()
    slow.stalled = True
    harness.publish(2)
    harness.turn()
    assert not dead.closed
    harness.advance(1.5)
    assert dead.aborted
    assert not slow.closed
    statistics = harness.manager.statistics()
    assert (statistics.streams, statistics.shed) == (1, {"blocked": 1})


def test_a_write_that_finds_its_reader_gone_leaves_nothing(harness: Harness) -> None:
    """The sink reports the loss from within the write."""

    class Gone(Reader):
        def write(self, frame: bytes) -> bool:
            if not self.writes:
                return super().write(frame)
            harness.manager.leave(stream)
            return False

    _, stream = harness.join(0, reader=Gone())
    harness.publish(1)
    harness.turn()
    assert (len(harness.manager), harness.manager.statistics().blocked_now) == (0, 0)


# The connection channel


def test_a_silent_cohort_gets_a_heartbeat_every_fifteen_seconds(harness: Harness) -> None:
    """A heartbeat is an event with the time and the ages, for any timer, and not sent while prices are."""
    harness.publish(1)
    quiet = [harness.join(timer)[0] for timer in (0, 5, 3600)]
    harness.advance(31, 0.25)
    for reader in quiet:
        assert len(reader.channel_events("heartbeat")) == 2
    heartbeat = quiet[0].channel_events("heartbeat")[0]
    assert heartbeat["ages"] == {"btc_usd": pytest.approx(15_000, abs=300)}
    assert heartbeat["time"] == pytest.approx(1_763_669_015_000, abs=300)
    busy, _ = harness.join(1)
    for _ in range(30):
        harness.publish(2)
        harness.advance(1, 0.25)
    assert busy.channel_events("heartbeat") == []


def test_a_change_of_state_is_written_to_every_stream_at_once(harness: Harness) -> None:
    """Streams of any timer receive the state at once."""
    readers = [harness.join(timer)[0] for timer in (0, 5, 3600)]
    harness.live()
    harness.turn()
    assert [r.channel_events("upstream")[-1]["state"] for r in readers] == ["live"] * 3
    harness.turn()
    assert all(len(r.channel_events("upstream")) == 2 for r in readers)


def test_staleness_is_written_within_half_a_second(harness: Harness) -> None:
    """A silent ticker changes the state without a message of the bus."""
    harness.live()
    for _ in range(20):
        harness.publish(1)
        harness.publish(1, ticker="eth_usd")
        harness.advance(0.5)
    reader, _ = harness.join(60)
    for _ in range(7):
        harness.publish(1)
        harness.advance(0.5)
    assert reader.channel_events("upstream")[-1]["state"] == "stale"


def test_a_refused_ticker_is_a_gap_on_the_streams_that_want_it(harness: Harness) -> None:
    """Streams receive the gap now and on joining later, until the ticker has a tick."""
    asked, _ = harness.join(60, "BTC-PERPETUAL")
    other, _ = harness.join(60)
    harness.bus.publish(Gap("BTC-PERPETUAL"))
    harness.turn()
    expected = {"kind": "gap", "from": None, "reason": "refused", "ticker": "BTC-PERPETUAL"}
    assert asked.channel_events("gap") == [expected]
    assert other.channel_events("gap") == []
    late, _ = harness.join(60, "BTC-PERPETUAL")
    assert late.channel_events("gap") == [expected]
    harness.publish(3, ticker="BTC-PERPETUAL")
    assert harness.join(60, "BTC-PERPETUAL")[0].channel_events("gap") == []


def test_a_blocked_stream_receives_a_refusal_when_it_resumes(harness: Harness) -> None:
    """Events of the connection channel are kept for it, up to a bound."""
    reader, _ = harness.join(0, "BTC-PERPETUAL")
    reader.stalled = True
    harness.publish(1, ticker="BTC-PERPETUAL")
    harness.turn()
    harness.bus.publish(Gap("BTC-PERPETUAL"))
    harness.turn()
    reader.wake()
    assert len(reader.channel_events("gap")) == 1


def test_events_of_a_session_reach_its_streams_alone() -> None:
    """Blocked streams receive it when they resume."""
    arrived: list[str] = []
    harness = Harness()
    harness.manager.subscribe_sessions(arrived.append)
    mine, _ = harness.join(5, session="a")
    slow, _ = harness.join(0, session="a")
    yours, _ = harness.join(5, session="b")
    nobodys, _ = harness.join(5)
    slow.stalled = True
    assert harness.manager.send("a", '{"kind":"person"}') == 2
    assert harness.manager.send("nobody", '{"kind":"person"}') == 0
    slow.wake()
    assert len(mine.channel_events("person")) == len(slow.channel_events("person")) == 1
    assert yours.channel_events("person") == nobodys.channel_events("person") == []
    assert arrived == ["a", "a", "b"]


def test_pending_events_are_bounded(harness: Harness) -> None:
    """The memory held for a blocked stream is bounded."""
    reader, _ = harness.join(5, session="a")
    reader.stalled = True
    for _ in range(1000):
        harness.manager.send("a", '{"kind":"person"}')
    reader.wake()
    assert len(reader.channel_events("person")) == 16
