"""Tickers that only streams want: what a stream is told of those that it cannot have, and what others notice."""

from .reader import Harness

ALICE, BOB = "192.0.2.1", "192.0.2.2"


def full(ticker: str) -> dict[str, object]:
    """The gap event of a ticker for which there is no room."""
    return {"kind": "gap", "from": None, "reason": "full", "ticker": ticker}


def test_a_ticker_for_which_there_is_room_later_arrives_without_reconnecting() -> None:
    """The stream gets its gap, then the prices."""
    harness = Harness(per_address=1)
    _, first = harness.join(5, "A", address=ALICE)
    reader, _ = harness.join(0, "B", address=ALICE)
    other, _ = harness.join(0, "C", address=BOB)
    assert reader.channel_events("gap") == [full("B")]
    assert other.channel_events("gap") == []
    harness.manager.leave(first)
    harness.advance(1, 0.25)
    harness.publish(7, ticker="B")
    harness.turn()
    assert reader.prices() == [7]
    late, _ = harness.join(0, "B", address=ALICE)
    assert (late.prices(), late.channel_events("gap")) == ([7], [])


def test_a_stream_is_told_when_a_ticker_ends_that_another_address_had() -> None:
    """Its own address has no share left for it."""
    harness = Harness(per_address=1)
    harness.join(5, "A", address=ALICE)
    _, bob = harness.join(0, "B", address=BOB)
    reader, _ = harness.join(0, "B", address=ALICE)
    harness.publish(1, ticker="B")
    harness.turn()
    harness.manager.leave(bob)
    harness.advance(29, 0.25)
    assert (reader.prices(), reader.channel_events("gap")) == ([1], [])
    harness.advance(2, 0.25)
    assert reader.channel_events("gap") == [{**full("B"), "from": None}]


def test_a_ticker_that_returns_before_its_end_was_told_is_no_gap() -> None:
    """It ended and was asked for again between two turns."""
    harness = Harness(per_address=1)
    harness.join(5, "A", address=ALICE)
    _, bob = harness.join(0, "B", address=BOB)
    reader, _ = harness.join(0, "B", address=ALICE)
    harness.manager.leave(bob)
    while harness.manager.statistics().tickers_wanted == 2:
        harness.advance(0.25, 0.25)
    again, _ = harness.join(0, "B", address=BOB)
    harness.publish(1, ticker="B")
    harness.turn()
    for one in (reader, again):
        assert (one.prices(), one.channel_events("gap")) == ([1], [])


def test_a_resume_is_not_spoiled_by_a_ticker_that_is_not_followed() -> None:
    """What was missed of the others arrives."""
    harness = Harness(max_tickers=2)
    harness.publish(1, 2, 3)
    reader, _ = harness.join(0, "btc_usd", "A", last_event_id="7-1")
    assert reader.channel_events("gap") == [full("A")]
    assert reader.prices() == [2, 3]


def test_refusals_reach_blocked_streams_too() -> None:
    """Also those that the refusal itself finds blocked."""
    harness = Harness(per_address=1)
    harness.join(5, "A", address=ALICE)
    _, bob = harness.join(60, "B", address=BOB)
    blocked, _ = harness.join(60, "B", address=ALICE)
    found, _ = harness.join(50, "B", address=ALICE)
    blocked.stalled = True
    harness.live()
    harness.turn()
    harness.manager.leave(bob)
    harness.advance(29.5, 0.25)
    found.stalled = True
    harness.advance(1, 0.25)
    assert len(harness.manager._delivery) == 2
    for reader in (blocked, found):
        reader.wake()
        assert reader.channel_events("gap") == [full("B")]


def test_ages_are_told_to_those_who_asked() -> None:
    """Neither the state event nor the heartbeat names a ticker of another stream."""
    harness = Harness()
    asked, _ = harness.join(60, "BTC-1JAN99-1-C", "btc_usd")
    other, _ = harness.join(60, "btc_usd")
    harness.live()
    harness.publish(1, ticker="BTC-1JAN99-1-C")
    harness.publish(2)
    harness.publish(2, ticker="eth_usd")
    harness.advance(25, 0.25)
    assert any("BTC-1JAN99-1-C" in event["ages"] for event in asked.channel_events("heartbeat"))
    seen = other.channel_events()
    assert {event["kind"] for event in seen} == {"upstream", "heartbeat"}
    assert all(event["ages"].keys() <= {"btc_usd"} for event in seen)


def test_the_silence_of_a_demanded_ticker_changes_no_state() -> None:
    """A quiet option that one stream asked for must not be told to all as stale."""
    harness = Harness()
    reader, _ = harness.join(60, "btc_usd")
    harness.join(0, "BTC-1JAN99-1-C", "btc_usd")
    harness.live()
    for i in range(1, 60):
        harness.publish(i)
        harness.publish(i, ticker="eth_usd")
        if i < 10:
            harness.publish(i, ticker="BTC-1JAN99-1-C")
        harness.advance(1, 0.25)
    assert [event["state"] for event in reader.channel_events("upstream")] == ["connecting", "live"]


def test_more_ticks_at_once_than_are_kept_are_a_gap() -> None:
    """A loss is said to the streams that receive every tick."""
    harness = Harness()
    reader, _ = harness.join(0, "A", "btc_usd")
    timed, _ = harness.join(5, "A", "btc_usd")
    harness.publish(1, ticker="A")
    harness.turn()
    harness.publish(*range(2, 2002), ticker="A")
    harness.turn()
    assert reader.channel_events("gap") == [{"kind": "gap", "from": "7-1", "reason": "too_old"}]
    kept = reader.prices()[1:]
    assert kept == list(range(2002 - len(kept), 2002))
    assert 500 <= len(kept) <= 563
    harness.advance(5)
    assert (timed.prices()[-1:], timed.channel_events("gap")) == ([2001], [])
