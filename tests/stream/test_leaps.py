"""Ticks that did not reach this node, and changes of leader: gap events, and positions to resume from."""

import pytest

from .reader import Room


@pytest.fixture
def room() -> Room:
    """A node that has received three ticks of epoch 7."""
    room = Room()
    room.publish(1, 2, 3)
    return room


def lose(room: Room, ticks: int) -> None:
    """Publish ticks that do not reach this node."""
    room.bus.sequence += ticks


def next_leader(room: Room, heard: int) -> None:
    """Let another leader take over, which has seen the ticks up to this sequence."""
    room.bus.after = (room.bus.epoch, heard) if heard else (0, 0)
    room.bus.epoch, room.bus.sequence = room.bus.epoch + 1, heard


def test_who_gets_every_tick_is_told_what_is_missing(room: Room) -> None:
    """The gap event names the last id and comes before the next tick, on streams that receive every tick."""
    immediate, _ = room.join(0)
    timed, _ = room.join(1)
    lose(room, 2)
    room.publish(6, 7)
    room.advance(1)
    assert immediate.news("gap") == [{"kind": "gap", "from": "7-3", "reason": "unknown"}]
    assert [event.event for event in immediate.events[-3:]] == ["connection", "btc_usd", "btc_usd"]
    assert immediate.prices() == [3, 6, 7]
    assert timed.news("gap") == []
    assert timed.prices() == [3, 7]


def test_who_is_behind_is_told_when_it_wakes(room: Room) -> None:
    """A blocked stream receives the gap event when it resumes."""
    reader, _ = room.join(0)
    reader.stalled = True
    room.publish(4)
    room.turn()
    lose(room, 1)
    room.publish(6)
    room.turn()
    reader.wake()
    assert reader.prices() == [3, 6]
    assert [gap["from"] for gap in reader.news("gap")] == ["7-4"]


def test_a_reader_from_before_the_leap_is_told_so(room: Room) -> None:
    """A reader that has received the last tick before the end of the leap has missed nothing."""
    lose(room, 2)
    room.publish(6, 7)
    before, _ = room.join(0, last_event_id="7-3")
    assert before.news("gap") == [{"kind": "gap", "from": "7-3", "reason": "too_old"}]
    assert before.prices() == [7]
    after, _ = room.join(0, last_event_id="7-5")
    assert after.news("gap") == []
    assert after.prices() == [6, 7]


def test_ids_go_on_across_leaders(room: Room) -> None:
    """When the next leader has seen every tick, streams resume across the change without a gap."""
    live, _ = room.join(0)
    next_leader(room, heard=3)
    room.publish(4, 5)
    next_leader(room, heard=5)
    room.publish(6)
    room.turn()
    assert live.prices() == [3, 4, 5, 6]
    back, _ = room.join(0, last_event_id="7-2")
    assert back.prices() == [3, 4, 5, 6]
    again, _ = room.join(0, last_event_id="8-4")
    assert again.prices() == [5, 6]
    assert live.news("gap") == back.news("gap") == again.news("gap") == []


def test_a_leader_that_heard_less_leaves_nothing_out_here(room: Room) -> None:
    """When the next leader has seen two of three ticks, all three stay, followed by its own."""
    live, _ = room.join(0)
    next_leader(room, heard=2)
    room.publish(4)
    room.turn()
    assert live.prices() == [3, 4]
    back, _ = room.join(0, last_event_id="7-3")
    assert back.prices() == [4]
    assert live.news("gap") == back.news("gap") == []


def test_a_reader_that_saw_more_of_the_old_epoch_gets_all_of_the_new(room: Room) -> None:
    """An id beyond the ticks that arrived here is resumed with all ticks of the next epoch."""
    next_leader(room, heard=3)
    room.publish(4, 5)
    back, _ = room.join(0, last_event_id="7-5")
    assert back.prices() == [4, 5]
    assert back.news("gap") == []


@pytest.mark.parametrize("heard", [0, 5])
def test_an_end_that_was_not_heard_is_a_gap(room: Room, heard: int) -> None:
    """The next leader has seen more of the old epoch than this node, or nothing, and counts from one."""
    live, _ = room.join(0)
    next_leader(room, heard)
    room.publish(6)
    room.turn()
    assert live.news("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]
    back, _ = room.join(0, last_event_id="7-3")
    assert back.news("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]
    assert back.prices() == [6]


def test_the_beginning_of_an_epoch_that_was_not_heard_is_a_gap(room: Room) -> None:
    """The next leader has seen less than this node, which missed its first ticks."""
    live, _ = room.join(0)
    next_leader(room, heard=1)
    lose(room, 1)
    room.publish(6)
    room.turn()
    assert live.news("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]


def test_an_epoch_that_was_not_heard_at_all_is_a_gap(room: Room) -> None:
    """A leader that has seen less was there in between."""
    live, _ = room.join(0)
    next_leader(room, heard=1)
    lose(room, 1)
    next_leader(room, heard=2)
    room.publish(6)
    room.turn()
    assert live.news("gap") == [{"kind": "gap", "from": "7-3", "reason": "epoch"}]


def test_the_first_tick_of_a_node_is_no_gap() -> None:
    """A node that starts in the middle of an epoch resumes its own ids."""
    room = Room()
    reader, _ = room.join(0)
    lose(room, 100)
    room.publish(1)
    room.turn()
    assert reader.prices() == [1]
    assert reader.news("gap") == []
