"""Thousands of streams under a simulated clock: other tasks run meanwhile, and closed streams leave nothing behind."""

import asyncio
import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from cryptomarket.stream.manager import SLICE
from cryptomarket.stream.subscribers import COHORT_SIZE, Stream, Subscription

from .reader import EVERYTHING, Room

#: The whole promise is about a million, which `make bench` asks for.
JOINS = int(os.environ.get("CRYPTOMARKET_TEST_JOINS", "10000"))


class Tally:
    """A sink that counts its writes and all writes, and keeps the number of its last one."""

    __slots__ = ("everybody", "last", "writes")

    def __init__(self, everybody: list[int]) -> None:
        self.everybody = everybody
        self.writes = 0
        self.last = 0

    @staticmethod
    def framed(data: bytes) -> bytes:
        """The data unchanged."""
        return data

    def write(self, _: bytes) -> bool:
        """Count the write."""
        self.writes += 1
        self.everybody[0] += 1
        self.last = self.everybody[0]
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Never called, because it takes everything."""
        raise AssertionError(resume)

    def close(self, _: bytes) -> None:
        """The end."""

    def abort(self) -> None:
        """The end."""


@pytest.fixture
def room() -> Room:
    """A manager of btc_usd and eth_usd, with its bus and clock."""
    return Room()


def crowd(room: Room, count: int, tenths: int, everybody: list[int]) -> list[Tally]:
    """Join this many streams of one timer."""
    sinks = [Tally(everybody) for _ in range(count)]
    for sink in sinks:
        room.manager.join(sink, Subscription(tenths, EVERYTHING))
    return sinks


def test_a_turn_stops_every_few_thousand_writes(room: Room) -> None:
    """Other tasks run between the writes, however many streams have timer 0."""
    written = [0]
    crowd(room, 8 * COHORT_SIZE, 0, written)
    room.publish(1)
    written[0] = 0
    between = []
    for _ in room.manager.turn():
        between.append(written[0])
        written[0] = 0
    between.append(written[0])
    assert sum(between) == 8 * COHORT_SIZE
    assert max(between) < SLICE + COHORT_SIZE


def test_a_tick_on_the_way_reaches_those_who_get_every_tick_before_the_timed_ones_are_done(room: Room) -> None:
    """Streams with timer 0 do not wait for all streams of another timer."""
    written = [0]
    immediate = crowd(room, 10, 0, written)
    timed = crowd(room, 4 * COHORT_SIZE, 1, written)
    room.publish(1)
    room.now += 0.2
    turn = room.manager.turn()
    next(turn)
    done = written[0]
    assert any(sink.last < done - COHORT_SIZE for sink in timed), "some have their price"
    room.publish(2)
    for _ in turn:
        pass
    assert max(sink.last for sink in immediate) <= done + len(immediate)
    assert max(sink.last for sink in timed) > done + COHORT_SIZE, "some had still to wait for it"


def descriptors() -> int:
    """The number of open files, where the system reports it."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.exists() else 0


async def test_joins_and_leaves_leave_nothing(room: Room) -> None:
    """With many timers, sessions and addresses, memory, tasks and descriptors return to their start."""
    everybody = [0]
    there: list[Stream] = []

    def churn(count: int) -> None:
        for i in range(count):
            subscription = Subscription(
                i % 700, EVERYTHING if i % 5 else frozenset({"btc_usd"}), f"s{i % 97}", f"a{i % 89}"
            )
            there.append(room.manager.join(Tally(everybody), subscription))
            if i % 64 == 0:
                room.publish(i)
                room.now += 0.2
                room.turn()
            if len(there) > 100:
                room.manager.leave(there.pop(i % 100))
        while there:
            room.manager.leave(there.pop())
        room.now += 4000
        room.turn()
        gc.collect()

    churn(2000)
    tasks, files = len(asyncio.all_tasks()), descriptors()
    tracemalloc.start()
    churn(JOINS)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000 + min(11_250, JOINS / 64) * 600, "beside the ring, which grows up to its 10,000 ticks"
    assert (len(asyncio.all_tasks()), descriptors()) == (tasks, files)
    assert repr(room.manager) == "<ServerSSEManager 0 streams, 2 tickers>"
    assert repr(room.manager._subscribers.schedule) == "<PhaseSchedule 0 timers, 0 buckets>"
