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

from .reader import EVERYTHING, Harness

pytestmark = pytest.mark.system

#: The whole promise is about a million, which `make bench` asks for.
JOINS = int(os.environ.get("CRYPTOMARKET_TEST_JOINS", "10000"))


class Tally:
    """A sink that counts its writes and all writes, and keeps the number of its last one."""

    __slots__ = ("last", "total", "writes")

    def __init__(self, total: list[int]) -> None:
        self.total = total
        self.writes = 0
        self.last = 0

    @staticmethod
    def framed(data: bytes) -> bytes:
        """The data unchanged."""
        return data

    def write(self, _: bytes) -> bool:
        """Count the write."""
        self.writes += 1
        self.total[0] += 1
        self.last = self.total[0]
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Never called, because it takes everything."""
        raise AssertionError(resume)

    def close(self, _: bytes) -> None:
        """The end."""

    def abort(self) -> None:
        """The end."""


@pytest.fixture
def harness() -> Harness:
    """A manager of btc_usd and eth_usd, with its bus and clock."""
    return Harness()


def crowd(harness: Harness, count: int, tenths: int, total: list[int]) -> list[Tally]:
    """Join this many streams of one timer."""
    sinks = [Tally(total) for _ in range(count)]
    for sink in sinks:
        harness.manager.join(sink, Subscription(tenths, EVERYTHING))
    return sinks


def test_a_turn_stops_every_few_thousand_writes(harness: Harness) -> None:
    """Other tasks run between the writes, however many streams have timer 0."""
    written = [0]
    crowd(harness, 8 * COHORT_SIZE, 0, written)
    harness.publish(1)
    written[0] = 0
    between = []
    for _ in harness.manager.turn():
        between.append(written[0])
        written[0] = 0
    between.append(written[0])
    assert sum(between) == 8 * COHORT_SIZE
    assert max(between) < SLICE + COHORT_SIZE


def test_a_tick_on_the_way_reaches_those_who_get_every_tick_before_the_timed_ones_are_done(harness: Harness) -> None:
    """Streams with timer 0 do not wait for all streams of another timer."""
    written = [0]
    immediate = crowd(harness, 10, 0, written)
    timed = crowd(harness, 4 * COHORT_SIZE, 1, written)
    harness.publish(1)
    harness.now += 0.2
    turn = harness.manager.turn()
    next(turn)
    done = written[0]
    assert any(sink.last < done - COHORT_SIZE for sink in timed), "some have their price"
    harness.publish(2)
    for _ in turn:
        pass
    assert max(sink.last for sink in immediate) <= done + len(immediate)
    assert max(sink.last for sink in timed) > done + COHORT_SIZE, "some had still to wait for it"


def descriptors() -> int:
    """The number of open files, where the system reports it."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.exists() else 0


async def test_joins_and_leaves_leave_nothing(harness: Harness) -> None:
    """With many timers, sessions and addresses, memory, tasks and descriptors return to their start."""
    total = [0]
    there: list[Stream] = []

    def churn(count: int) -> None:
        for i in range(count):
            subscription = Subscription(
                i % 700, EVERYTHING if i % 5 else frozenset({"btc_usd"}), f"s{i % 97}", (f"a{i % 89}",)
            )
            there.append(harness.manager.join(Tally(total), subscription))
            if i % 64 == 0:
                harness.publish(i)
                harness.now += 0.2
                harness.turn()
            if len(there) > 100:
                harness.manager.leave(there.pop(i % 100))
        while there:
            harness.manager.leave(there.pop())
        harness.now += 4000
        harness.turn()
        gc.collect()

    churn(2000)
    tasks, files = len(asyncio.all_tasks()), descriptors()
    tracemalloc.start()
    churn(JOINS)
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000 + min(11_250, JOINS / 64) * 600, "beside the ring, which grows up to its 10,000 ticks"
    assert (len(asyncio.all_tasks()), descriptors()) == (tasks, files)
    assert repr(harness.manager) == "<ServerSSEManager 0 streams, 2 tickers>"
    assert repr(harness.manager._subscribers.schedule) == "<PhaseSchedule 0 timers, 0 buckets>"
