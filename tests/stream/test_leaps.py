"""Ticks that did not reach this node, and changes of leader: gap events, and positions to resume from."""

import pytest

from .reader import Harness


@pytest.fixture
def harness() -> Harness:
    """A node that has received three ticks of epoch 7."""
    harness = Harness()
    harness.publish(1, 2, 3)
    return harness


def lose(harness: Harness, ticks: int) -> None:
    """Publish ticks that do not reach this node."""
    harness.bus.sequence += ticks


def next_leader(harness: Harness, heard: int) -> None:
    """Let another leader take over, which has seen the ticks up to this sequence."""
    harness.bus.after = (harness.bus.epoch, heard) if heard else (0, 0)
    harness.bus.epoch, harness.bus.sequence = harness.bus.epoch + 1, heard


def test_missing_ticks_are_a_gap_on_streams_of_timer_zero(harness: Harness) -> None:
    """The gap event names the last id and comes before the next tick, on streams that receive every tick."""
    immediate, _ = harness.join(0)
    timed, _ = harness.join(1)
    lose(harness, 2)
    harness.publish(6, 7)
    harness.advance(1)
    assert immediate.channel_events("gap") == [{"kind": "gap", "from": "7-3", "reason": "unknown"}]
    assert [event.event for event in immediate.events[-3:]] == ["connection", "btc_usd", "btc_usd"]
    assert immediate.prices() == [3, 6, 7]
    assert timed.channel_events("gap") == []
    assert timed.prices() == [3, 7]


def test_a_blocked_stream_receives_the_gap_when_it_resumes(harness: Harness) -> None:
    """A blocked stream receives the gap event when it resumes."""
    reader, _ = harness.join(0)
    reader.stalled = True
    harness.publish(4)
    harness.turn()
    lose(harness, 1)
    harness.publish(6)
    harness.turn()
    reader.wake()
    assert reader.prices() == [3, 6]
    assert [gap["from"] for gap in reader.channel_events("gap")] == ["7-4"]


def test_an_id_from_before_the_leap_is_a_gap(harness: Harness) -> None:
    """A reader that has received the last tick before the end of the leap has missed nothing."""
    lose(harness, 2)
    harness.publish(6, 7)
    before, _ = harness.join(0, last_event_id="7-3")
    assert before.channel_events("gap") == [{"kind": "gap", "from": "7-3", "reason": "too_old"}]
    assert before.prices() == [7]
    after, _ = harness.join(0, last_event_id="7-5")
    assert after.channel_events("gap") == []
    assert after.prices() == [6, 7]


def test_ids_go_on_across_leaders(harness: Harness) -> None:
    """When the next leader has seen every tick, streams resume across the change without a gap."""
    live, _ = harness.join(0)
    next_leader(harness, heard=3)
    harness.publish(4, 5)
    next_leader(harness, heard=5)
    harness.publish(6)
    harness.turn()
    assert live.prices() == [3, 4, 5, 6]
    back, _ = harness.join(0, last_event_id="7-2")
    assert back.prices() == [3, 4, 5, 6]
    again, _ = harness.join(0, last_event_id="8-4")
    assert again.prices() == [5, 6]
    assert live.channel_events("gap") == back.channel_events("gap") == again.channel_events("gap") == []


def test_ticks_that_the_next_leader_missed_stay_here(harness: Harness) -> None:
    """When the next leader has seen two of three ticks, all three stay, followed by its own."""
    live, _ = harness.join(0)
    next_leader(harness, heard=2)
    harness.publish(4)
    harness.turn()
    assert live.prices() == [3, 4]
    back, _ = harness.join(0, last_event_id="7-3")
    assert back.prices() == [4]
    assert live.channel_events("gap") == back.channel_events("gap") == []


def test_a_reader_that_saw_more_of_the_old_epoch_gets_all_of_the_new(harness: Harness) -> None:
    """An id beyond the ticks that arrived here is resumed with all ticks of the next epoch."""
    next_leader(harness, heard=3)
    harness.publish(4, 5)
    back, _ = harness.join(0, last_event_id="7-5")
    assert back.prices() == [4, 5]
    assert back.channel_events("gap") == []


@pytest.mark.parametrize("heard", [0, 5])
def test_a_missed_end_of_an_epoch_is_a_gap(harness: Harness, heard: int) -> None:
    """The next leader has seen more of the old epoch than this node, or nothing, and counts from one."""
    live, _ = harness.join(0)
    next_leader(harness, heard)
    harness.publish(6)
    harness.turn()
    assert live.channel_events("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]
    back, _ = harness.join(0, last_event_id="7-3")
    assert back.channel_events("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]
    assert back.prices() == [6]


def test_a_missed_beginning_of_an_epoch_is_a_gap(harness: Harness) -> None:
    """The next leader has seen less than this node, which missed its first ticks."""
    live, _ = harness.join(0)
    next_leader(harness, heard=1)
    lose(harness, 1)
    harness.publish(6)
    harness.turn()
    assert live.channel_events("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]


def test_a_missed_epoch_is_a_gap(harness: Harness) -> None:
    """A leader that has seen less was there in between."""
    live, _ = harness.join(0)
    next_leader(harness, heard=1)
    lose(harness, 1)
    next_leader(harness, heard=2)
    harness.publish(6)
    harness.turn()
    assert live.channel_events("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]


def test_the_first_tick_of_a_node_is_no_gap() -> None:
    """A node that starts in the middle of an epoch resumes its own ids."""
    harness = Harness()
    reader, _ = harness.join(0)
    lose(harness, 100)
    harness.publish(1)
    harness.turn()
    assert reader.prices() == [1]
    assert reader.channel_events("gap") == []
