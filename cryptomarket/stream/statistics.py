"""The counters of the streams and their statistics, for /status and /metrics."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["AGE_BOUNDS", "Counters", "StreamStatistics"]

#: Upper bounds of the histogram of ages in seconds; one more bucket has no bound.
AGE_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)


@dataclass(slots=True)
class Counters:
    """Counts that only grow. An event written to a thousand streams counts a thousand times, its frame once."""

    joined: int = 0
    left: int = 0
    delivered: int = 0
    frames: int = 0
    conflated: int = 0
    blocked: int = 0
    shed: dict[str, int] = field(default_factory=dict)
    age_counts: list[int] = field(default_factory=lambda: [0] * (len(AGE_BOUNDS) + 1))
    age_sum_seconds: float = 0.0

    def add_age(self, seconds: float, times: int) -> None:
        """Count an event of this age, written to so many streams."""
        self.age_counts[bisect_left(AGE_BOUNDS, seconds)] += times
        self.age_sum_seconds += seconds * times

    def add_shed(self, reason: str) -> None:
        """Count a stream that was turned away or closed."""
        self.shed[reason] = self.shed.get(reason, 0) + 1


@dataclass(frozen=True, slots=True)
class StreamStatistics:
    """The streams of a node at one moment.

    ``delivered`` counts price events times streams, ``frames`` the frames built for them, ``conflated`` ticks times
    streams that a newer tick replaced, ``blocked`` the times a reader fell behind (``blocked_now``: those that are),
    ``shed`` streams turned away or closed, by reason. ``event_log_bytes`` is the memory of the kept events.
    ``age_counts`` counts events by age when written, between ``AGE_BOUNDS``.
    """

    streams: int
    by_timer: Mapping[float, int]
    cohorts: int
    tickers_wanted: int
    blocked_now: int
    event_log_bytes: int
    event_log_limit_bytes: int
    joined: int
    left: int
    delivered: int
    frames: int
    conflated: int
    blocked: int
    shed: Mapping[str, int]
    age_counts: Sequence[int]
    age_sum_seconds: float
