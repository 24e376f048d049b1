"""The schedule of phases, under a simulated clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryptomarket.stream.phase_schedule import PHASES, Bucket, PhaseSchedule

TENTHS = st.integers(1, 36_000)
NOW = st.floats(0, 1e7)


@given(tenths=TENTHS, now=NOW, streams=st.integers(1, 60))
def test_the_first_interval_is_at_most_the_timer(tenths: int, now: float, streams: int) -> None:
    """A new stream is due within one timer, however many streams there are."""
    schedule = PhaseSchedule()
    for _ in range(streams):
        bucket = schedule.place(tenths, now)
        assert now < bucket.due <= now + tenths / 10 + 1e-6


@given(tenths=TENTHS, now=NOW)
def test_a_lone_stream_waits_nearly_a_whole_interval(tenths: int, now: float) -> None:
    """The first delivery does not follow the join at once, as the join wrote everything."""
    interval = tenths / 10
    assert PhaseSchedule().place(tenths, now).due >= now + interval * 0.6 - 1e-6


def test_a_crowd_is_spread_over_the_timer() -> None:
    """20,000 streams of five seconds that join at once fill 50 equal buckets."""
    schedule = PhaseSchedule()
    buckets = [schedule.place(50, 123.4) for _ in range(20_000)]
    loads = {bucket.phase: bucket.load for bucket in buckets}
    assert loads == dict.fromkeys(range(PHASES), 400)
    assert sum(bucket.load for bucket in schedule.due(124.4001)) == pytest.approx(4_000, abs=400)


@given(tenths=TENTHS, now=NOW, turns=st.integers(1, 20))
def test_moments_are_one_timer_apart(tenths: int, now: float, turns: int) -> None:
    """A bucket is due again one timer later, without drift."""
    schedule = PhaseSchedule()
    first = schedule.place(tenths, now).due
    for turn in range(turns):
        (bucket,) = schedule.due(first + turn * tenths / 10 + 1e-6)
    assert bucket.due == pytest.approx(first + turns * tenths / 10, abs=1e-4)


def test_missed_moments_are_skipped() -> None:
    """After a pause of the process a bucket is due once, not once for each missed moment."""
    schedule = PhaseSchedule()
    schedule.place(10, 0.0)
    assert len(schedule.due(100.0)) == 1
    assert schedule.due(100.0) == []
    assert schedule.next_due is not None
    assert 100.0 < schedule.next_due <= 101.0


def test_an_empty_bucket_is_never_due() -> None:
    """A bucket without streams is never due."""
    schedule = PhaseSchedule()
    schedule.remove(schedule.place(10, 0.0))
    assert schedule.due(50.0) == []
    assert schedule.next_due is None
    assert repr(schedule) == "<PhaseSchedule 0 timers, 0 buckets>"


def test_short_streams_of_long_timers_leave_nothing_behind() -> None:
    """A hundred thousand joins and leaves at an hour's timer do not fill the queue for an hour."""
    schedule = PhaseSchedule()
    for i in range(100_000):
        schedule.remove(schedule.place(36_000 - i % 30_000, i / 1000))
    assert repr(schedule).endswith("buckets>")
    assert len(schedule._queue) <= 200


def test_immediate_streams_are_never_due() -> None:
    """Timer 0 has one bucket, which is never due."""
    schedule = PhaseSchedule()
    bucket = schedule.place(0, 1.0)
    assert bucket.immediate
    assert schedule.next_due is None
    assert not Bucket(1).immediate
