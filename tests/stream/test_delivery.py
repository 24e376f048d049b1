"""What readers are told beside prices, and what happens to those who are slow; under a clock of our own."""

import pytest

from cryptomarket.model import Gap, Upstream, UpstreamState

from .reader import Reader, Room


@pytest.fixture
def room() -> Room:
    """A manager of btc_usd and eth_usd."""
    return Room()


# Slow readers


def test_a_blocked_stream_gets_the_newest_when_it_wakes(room: Room) -> None:
    """No backlog: one event per ticker, then the state if it changed."""
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
    """The newest price comes first, and the present state once."""
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
    """The others get every tick while it stalls."""
    slow, _ = room.join(0)
    slow.stalled = True
    others = [room.join(0)[0] for _ in range(5)]
    for price in range(1, 50):
        room.publish(price)
        room.turn()
    assert all(other.prices() == list(range(1, 50)) for other in others)
    assert room.manager.statistics().blocked_now == 1


def test_a_reader_blocked_for_a_minute_is_closed_and_counted(room: Room) -> None:
    """Not before, and not one that took something in between."""
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
    """The sink tells the manager from within the write."""

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
    """A real event with the time and the ages, whatever the timer, and none while prices flow."""
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
    """Whatever their timer."""
    readers = [room.join(timer)[0] for timer in (0, 5, 3600)]
    room.live()
    room.turn()
    assert [r.news("upstream")[-1]["state"] for r in readers] == ["live"] * 3
    room.turn()
    assert all(len(r.news("upstream")) == 2 for r in readers)


def test_staleness_is_told_within_half_a_second(room: Room) -> None:
    """A ticker that falls silent is said without any message from the bus."""
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
    """Now, on joining later, and no more once it ticks."""
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
    """News that is not a price is kept for it, within a bound."""
    reader, _ = room.join(0, "BTC-PERPETUAL")
    reader.stalled = True
    room.publish(1, ticker="BTC-PERPETUAL")
    room.turn()
    room.bus.publish(Gap("BTC-PERPETUAL"))
    room.turn()
    reader.wake()
    assert len(reader.news("gap")) == 1


def test_events_of_a_session_reach_its_streams_alone() -> None:
    """Blocked ones when they wake."""
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
    """A blocked stream cannot be made to hold memory."""
    reader, _ = room.join(5, session="a")
    reader.stalled = True
    for _ in range(1000):
        room.manager.send("a", '{"kind":"person"}')
    reader.wake()
    assert len(reader.news("person")) == 16
