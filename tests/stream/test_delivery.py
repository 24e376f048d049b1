"""Events of the connection channel, and slow readers, under a simulated clock."""

import pytest

from cryptomarket.model import Gap, Upstream, UpstreamState

from .reader import Reader, Room


@pytest.fixture
def room() -> Room:
    """A manager of btc_usd and eth_usd, with its bus and clock."""
    return Room()


# Slow readers


def test_a_blocked_stream_gets_the_newest_when_it_wakes(room: Room) -> None:
    """It receives no backlog: one event for each ticker, then the state if it changed."""
    room.live()
    reader, _ = room.join(0)
    reader.clear()
    reader.stalled = True
    room.publish(1, 2, 3)
    room.turn()
    room.publish(4, 5)
    room.turn()
    reader.wake()
    room.publish(6)
    room.turn()
    assert reader.prices() == [5, 6]
    assert reader.news() == []
    assert room.manager.statistics().conflated == 4


def test_a_blocked_stream_learns_of_a_change_of_state_when_it_wakes(room: Room) -> None:
    """The newest price comes first, then the current state once."""
    room.live()
    room.publish(1)
    reader, _ = room.join(0)
    reader.clear()
    reader.stalled = True
    room.publish(2)
    room.turn()
    room.bus.publish(Upstream(UpstreamState.DOWN, 5))
    room.turn()
    reader.wake()
    assert [e.event for e in reader.events] == ["btc_usd", "connection"]
    assert reader.news("upstream")[0]["state"] == "down"


def test_a_slow_reader_costs_nobody_else(room: Room) -> None:
    """The other streams receive every tick while one stalls."""
    slow, _ = room.join(0)
    slow.stalled = True
    others = [room.join(0)[0] for _ in range(5)]
    for price in range(1, 50):
        room.publish(price)
        room.turn()
    assert all(other.prices() == list(range(1, 50)) for other in others)
    assert room.manager.statistics().blocked_now == 1


def test_a_reader_blocked_for_a_minute_is_closed_and_counted(room: Room) -> None:
    """A stream is closed after 60 s blocked, unless it took something in between."""
    dead, _ = room.join(0)
    slow, _ = room.join(0)
    dead.stalled = slow.stalled = True
    room.publish(1)
    room.advance(59)
    slow.wake()
    slow.stalled = True
    room.publish(2)
    room.turn()
    assert not dead.closed
    room.advance(1.5)
    assert dead.aborted
    assert not slow.closed
    statistics = room.manager.statistics()
    assert (statistics.streams, statistics.shed) == (1, {"blocked": 1})


def test_a_write_that_finds_its_reader_gone_leaves_nothing(room: Room) -> None:
    """The sink reports the loss from within the write."""

    class Gone(Reader):
        def write(self, frame: bytes) -> bool:
            if not self.writes:
                return super().write(frame)
            room.manager.leave(stream)
            return False

    _, stream = room.join(0, reader=Gone())
    room.publish(1)
    room.turn()
    assert (len(room.manager), room.manager.statistics().blocked_now) == (0, 0)


# The connection channel


def test_a_silent_cohort_gets_a_heartbeat_every_fifteen_seconds(room: Room) -> None:
    """A heartbeat is an event with the time and the ages, for any timer, and not sent while prices are."""
    room.publish(1)
    quiet = [room.join(timer)[0] for timer in (0, 5, 3600)]
    room.advance(31, 0.25)
    for reader in quiet:
        assert len(reader.news("heartbeat")) == 2
    heartbeat = quiet[0].news("heartbeat")[0]
    assert heartbeat["ages"] == {"btc_usd": pytest.approx(15_000, abs=300)}
    assert heartbeat["time"] == pytest.approx(1_763_669_015_000, abs=300)
    busy, _ = room.join(1)
    for _ in range(30):
        room.publish(2)
        room.advance(1, 0.25)
    assert busy.news("heartbeat") == []


def test_a_change_of_state_is_told_to_everybody_at_once(room: Room) -> None:
    """Streams of any timer receive the state at once."""
    readers = [room.join(timer)[0] for timer in (0, 5, 3600)]
    room.live()
    room.turn()
    assert [r.news("upstream")[-1]["state"] for r in readers] == ["live"] * 3
    room.turn()
    assert all(len(r.news("upstream")) == 2 for r in readers)


def test_staleness_is_told_within_half_a_second(room: Room) -> None:
    """A silent ticker changes the state without a message of the bus."""
    room.live()
    for _ in range(20):
        room.publish(1)
        room.publish(1, ticker="eth_usd")
        room.advance(0.5)
    reader, _ = room.join(60)
    for _ in range(7):
        room.publish(1)
        room.advance(0.5)
    assert reader.news("upstream")[-1]["state"] == "stale"


def test_a_refused_ticker_is_told_to_those_who_asked_for_it(room: Room) -> None:
    """Streams receive the gap now and on joining later, until the ticker has a tick."""
    asked, _ = room.join(60, "BTC-PERPETUAL")
    other, _ = room.join(60)
    room.bus.publish(Gap("BTC-PERPETUAL"))
    room.turn()
    expected = {"kind": "gap", "from": None, "reason": "refused", "ticker": "BTC-PERPETUAL"}
    assert asked.news("gap") == [expected]
    assert other.news("gap") == []
    late, _ = room.join(60, "BTC-PERPETUAL")
    assert late.news("gap") == [expected]
    room.publish(3, ticker="BTC-PERPETUAL")
    assert room.join(60, "BTC-PERPETUAL")[0].news("gap") == []


def test_a_blocked_stream_learns_of_a_refusal_when_it_wakes(room: Room) -> None:
    """Events of the connection channel are kept for it, up to a bound."""
    reader, _ = room.join(0, "BTC-PERPETUAL")
    reader.stalled = True
    room.publish(1, ticker="BTC-PERPETUAL")
    room.turn()
    room.bus.publish(Gap("BTC-PERPETUAL"))
    room.turn()
    reader.wake()
    assert len(reader.news("gap")) == 1


def test_events_of_a_session_reach_its_streams_alone() -> None:
    """Blocked streams receive it when they resume."""
    arrived: list[str] = []
    room = Room(arrived=arrived.append)
    mine, _ = room.join(5, session="a")
    slow, _ = room.join(0, session="a")
    yours, _ = room.join(5, session="b")
    nobodys, _ = room.join(5)
    slow.stalled = True
    assert room.manager.send("a", '{"kind":"person"}') == 2
    assert room.manager.send("nobody", '{"kind":"person"}') == 0
    slow.wake()
    assert len(mine.news("person")) == len(slow.news("person")) == 1
    assert yours.news("person") == nobodys.news("person") == []
    assert arrived == ["a", "a", "b"]


def test_pending_news_is_bounded(room: Room) -> None:
    """The memory held for a blocked stream is bounded."""
    reader, _ = room.join(5, session="a")
    reader.stalled = True
    for _ in range(1000):
        room.manager.send("a", '{"kind":"person"}')
    reader.wake()
    assert len(reader.news("person")) == 16
