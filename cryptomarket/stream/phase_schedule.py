"""Which streams are due at which moment, so that streams of one timer are not all due at once.

A timer has up to 50 buckets, evenly apart in phase on the monotonic clock. Pure: the time comes from its caller.
"""

import heapq
from dataclasses import dataclass

__all__ = ["PHASES", "Bucket", "PhaseSchedule"]

#: 20,000 streams of five seconds become 400 writes every tenth of a second instead of 20,000 at once.
PHASES = 50
#: Buckets are at least this far apart, since writing to one takes about as long.
_CLOSEST_SECONDS = 0.02
#: How many empty buckets may stay in the queue before it is cleared of them.
_IDLE = 64


@dataclass(slots=True, eq=False)
class Bucket:
    """One phase of a timer (in tenths of a second; 0 is at once); ``load`` is the number of its streams."""

    tenths: int
    phase: int = 0
    due: float = 0.0
    load: int = 0
    queued: bool = False

    @property
    def immediate(self) -> bool:
        """Whether its streams receive every tick at once, and so are never due."""
        return self.tenths == 0

    def after(self, now: float) -> float:
        """Its first moment after ``now``."""
        interval = self.tenths / 10
        offset = self.phase * interval / _phases(self.tenths)
        moment = offset + ((now - offset) // interval + 1) * interval
        return moment if moment > now else moment + interval


class _Timer:
    """The buckets of one timer by their phase, and their phases by load, each set of phases as the bits of a number."""

    __slots__ = ("buckets", "count", "phases")

    def __init__(self, count: int) -> None:
        self.count = count
        self.buckets: dict[int, Bucket] = {}
        self.phases = {0: (1 << count) - 1}

    def emptiest(self, passed: int) -> int:
        """Of the phases with the least load the last one up to ``passed``, else the last one."""
        least = self.phases[min(self.phases)]
        return ((least & ((2 << passed) - 1) if passed >= 0 else 0) or least).bit_length() - 1

    def move(self, phase: int, load: int, new_load: int) -> None:
        """Note another load of a phase."""
        rest = self.phases[load] & ~(1 << phase)
        if rest:
            self.phases[load] = rest
        else:
            del self.phases[load]
        self.phases[new_load] = self.phases.get(new_load, 0) | 1 << phase


class PhaseSchedule:
    """Places streams in the buckets of their timer, and returns the buckets that are due. The queue is a heap."""

    def __init__(self) -> None:
        self._timers: dict[int, _Timer] = {}
        self._queue: list[tuple[float, int, Bucket]] = []
        self._pushed = 0
        self._idle = 0

    def __repr__(self) -> str:
        return f"<PhaseSchedule {len(self._timers)} timers, {len(self._queue)} buckets>"

    def place(self, tenths: int, now: float) -> Bucket:
        """Return the bucket for one more stream: the emptiest, and of equals the one that is due last.

        The first interval of a lone stream is thus nearly a whole one, none is longer than the timer, and streams that
        arrive in the same second are spread over the timer.
        """
        bucket = self._emptiest(tenths, now)
        self._change_load(bucket, 1)
        if bucket.load == 1 and not bucket.immediate:
            if bucket.queued:
                self._idle -= 1
            else:
                bucket.due = bucket.after(now)
                self._push(bucket)
        return bucket

    def _emptiest(self, tenths: int, now: float) -> Bucket:
        timer = self._timers.get(tenths)
        if timer is None:
            timer = self._timers[tenths] = _Timer(_phases(tenths))
        # The last phase that has certainly passed; rounding decides whether the next one is due just now.
        passed = int(now * 10 / tenths % 1 * timer.count) - 1 if tenths else 0
        phase = timer.emptiest(passed)
        bucket = timer.buckets.get(phase)
        if bucket is None:
            bucket = timer.buckets[phase] = Bucket(tenths, phase)
        return bucket

    def _change_load(self, bucket: Bucket, change: int) -> None:
        self._timers[bucket.tenths].move(bucket.phase, bucket.load, bucket.load + change)
        bucket.load += change

    def remove(self, bucket: Bucket) -> None:
        """Count one stream less in the bucket."""
        self._change_load(bucket, -1)
        if bucket.load:
            return
        if not bucket.queued:
            self._drop(bucket)
            return
        # It stays queued, since a reloaded page joins it again. Short-lived streams of long timers must not fill the
        # queue for an hour, though.
        self._idle += 1
        if self._idle > max(_IDLE, len(self._queue) // 2):
            for _, _, other in self._queue:
                if not other.load:
                    self._drop(other)
            self._queue = [item for item in self._queue if item[2].load]
            heapq.heapify(self._queue)
            self._idle = 0

    def due(self, now: float) -> list[Bucket]:
        """The buckets that are due, earliest first; each is due again at its next moment after ``now``."""
        found = []
        while self._queue and self._queue[0][0] <= now:
            bucket = heapq.heappop(self._queue)[2]
            bucket.queued = False
            if bucket.load:
                found.append(bucket)
                bucket.due = bucket.after(now)
                self._push(bucket)
            else:
                self._idle -= 1
                self._drop(bucket)
        return found

    @property
    def next_due(self) -> float | None:
        """The moment at which the next bucket is due, or None while no stream has a timer."""
        return self._queue[0][0] if self._queue else None

    def _push(self, bucket: Bucket) -> None:
        bucket.queued = True
        self._pushed += 1  # breaks ties, since buckets have no order
        heapq.heappush(self._queue, (bucket.due, self._pushed, bucket))

    def _drop(self, bucket: Bucket) -> None:
        timer = self._timers[bucket.tenths]
        del timer.buckets[bucket.phase]
        if not timer.buckets:
            del self._timers[bucket.tenths]


def _phases(tenths: int) -> int:
    return max(1, min(PHASES, round(tenths / 10 / _CLOSEST_SECONDS)))
