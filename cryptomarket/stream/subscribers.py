"""Which streams are open, and which of them receive the same bytes at the same moment.

Pure bookkeeping: it writes nothing, and the time comes from its caller.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ..fields import NO_FIELDS, Fields
from .phase_schedule import Bucket, PhaseSchedule
from .sinks import Sink

__all__ = ["Cohort", "Stream", "Subscribers", "Subscription"]

#: A cohort is written to without a pause of the event loop: 1,000 writes take about 7 ms.
COHORT_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a reader subscribes to: the timer in tenths of a second and the tickers; and who the reader is.

    ``session`` is the browser session that receives personal events, ``groups`` what its streams are counted by, the
    narrowest first. ``unknown``: the names it asked for that are no tickers. Without ``replays`` it is told that missed
    events are too old, instead of receiving them. ``fields``: the groups to add to the prices of instruments.
    """

    tenths: int = 600
    tickers: frozenset[str] = frozenset()
    session: str | None = None
    groups: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    replays: bool = True
    fields: Fields = NO_FIELDS


class Stream:
    """One open stream. It belongs to a cohort; ``cohort`` is None after it has left."""

    __slots__ = ("cohort", "groups", "session", "sink")

    def __init__(self, sink: Sink, cohort: "Cohort", session: str | None, groups: tuple[str, ...]) -> None:
        self.sink = sink
        self.cohort: Cohort | None = cohort
        self.session = session
        self.groups = groups

    def __repr__(self) -> str:
        return f"<Stream {'closed' if self.cohort is None else self.cohort}>"


class Cohort:
    """The streams of one timer, one set of tickers and of fields, one phase and one kind of sink.

    ``streams`` have received everything up to ``position``; those in ``ahead`` joined or resumed later, each with a
    position of its own. A blocked stream is in ``blocked`` alone. All of them count in ``size``.
    """

    __slots__ = (
        "ahead",
        "blocked",
        "bucket",
        "fields",
        "framed",
        "key",
        "last_sent",
        "position",
        "size",
        "streams",
        "tickers",
        "version",
    )

    def __init__(self, key: "_Key", bucket: Bucket, framed: Callable[[bytes], bytes]) -> None:
        self.key = key
        self.bucket = bucket
        self.tickers, self.fields = key[2], key[3]
        self.framed = framed
        self.streams: set[Stream] = set()
        self.ahead: dict[Stream, int] = {}
        self.blocked: set[Stream] = set()
        self.size = 0
        self.position = 0
        self.version = 0
        self.last_sent = 0.0

    def __repr__(self) -> str:
        return f"<Cohort of {self.size}, timer {self.bucket.tenths / 10:g} s, {len(self.tickers)} tickers>"

    def position_of(self, stream: Stream) -> int:
        """The position of a stream that is not blocked."""
        return self.ahead.get(stream, self.position)

    def members(self) -> list[Stream]:
        """Every stream that is not blocked; a copy."""
        return [*self.streams, *self.ahead]

    def remove(self, stream: Stream) -> None:
        """Leave the stream, which is blocked or has left, out of the next deliveries."""
        self.streams.discard(stream)
        self.ahead.pop(stream, None)
        self.blocked.discard(stream)


_Key = tuple[int, int, frozenset[str], Fields, type[Sink]]
_T = TypeVar("_T", int, str)


class Subscribers:
    """All streams, by cohort, by address and by browser session."""

    def __init__(self) -> None:
        self.schedule = PhaseSchedule()
        self._cohorts: dict[_Key, list[Cohort]] = {}
        self._in_bucket: dict[tuple[int, int], dict[_Key, None]] = {}
        self._groups: dict[str, int] = {}
        #: A session with one stream has that, so that most need no container; one with more has them in order.
        self._sessions: dict[str, Stream | dict[Stream, None]] = {}
        self._timers: dict[int, int] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Cohort]:
        for cohorts in self._cohorts.values():
            yield from cohorts

    def join(self, sink: Sink, subscription: Subscription, now: float) -> tuple[Stream, Cohort, bool]:
        """Return the new stream, its cohort, and whether the cohort is new; the caller sets the stream's position."""
        bucket = self.schedule.place(subscription.tenths, now)
        key = (bucket.tenths, bucket.phase, subscription.tickers, subscription.fields, type(sink))
        cohorts = self._cohorts.get(key)
        if cohorts is None:
            cohorts = self._cohorts[key] = []
            self._in_bucket.setdefault(key[:2], {})[key] = None
        cohort = next((cohort for cohort in reversed(cohorts) if cohort.size < COHORT_SIZE), None)
        is_new = cohort is None
        if cohort is None:
            cohort = Cohort(key, bucket, sink.framed)
            cohorts.append(cohort)
        stream = Stream(sink, cohort, subscription.session, subscription.groups)
        self._count(stream, cohort, 1)
        if stream.session is not None:
            known = self._sessions.get(stream.session)
            if isinstance(known, dict):
                known[stream] = None
            else:
                self._sessions[stream.session] = stream if known is None else {known: None, stream: None}
        return stream, cohort, is_new

    def leave(self, stream: Stream, cohort: Cohort) -> None:
        """Remove the stream and everything held for it."""
        stream.cohort = None
        cohort.remove(stream)
        self._count(stream, cohort, -1)
        self.schedule.remove(cohort.bucket)
        if not cohort.size:
            self._close(cohort)
        if stream.session is not None:
            known = self._sessions[stream.session]
            if isinstance(known, dict):
                del known[stream]
            if not isinstance(known, dict) or not known:
                del self._sessions[stream.session]

    def _count(self, stream: Stream, cohort: Cohort, change: int) -> None:
        self._size += change
        cohort.size += change
        _add(self._timers, cohort.bucket.tenths, change)
        for group in stream.groups:
            _add(self._groups, group, change)

    def _close(self, cohort: Cohort) -> None:
        key = cohort.key
        self._cohorts[key].remove(cohort)
        if not self._cohorts[key]:
            del self._cohorts[key]
            keys = self._in_bucket[key[:2]]
            del keys[key]
            if not keys:
                del self._in_bucket[key[:2]]

    def cohorts(self, buckets: Iterable[Bucket]) -> Iterator[Cohort]:
        """The cohorts served in the buckets; cohorts may come and go during the iteration."""
        for bucket in buckets:
            for key in list(self._in_bucket.get((bucket.tenths, bucket.phase), ())):
                yield from list(self._cohorts.get(key, ()))

    def immediate(self) -> list[Cohort]:
        """The cohorts that receive every tick at once (timer 0)."""
        return [cohort for key in self._in_bucket.get((0, 0), ()) for cohort in self._cohorts[key]]

    @property
    def has_immediate(self) -> bool:
        """Whether any stream has timer 0."""
        return (0, 0) in self._in_bucket

    def sessions(self) -> list[str]:
        """Every browser session with an open stream."""
        return list(self._sessions)

    def of_session(self, session: str) -> tuple[Stream, ...]:
        """The streams of one browser session."""
        known = self._sessions.get(session)
        if known is None:
            return ()
        return tuple(known) if isinstance(known, dict) else (known,)

    def has_session(self, session: str) -> bool:
        """Whether a browser session has a stream."""
        return session in self._sessions

    def of_group(self, group: str) -> int:
        """The number of streams of a group of addresses."""
        return self._groups.get(group, 0)

    def by_timer(self) -> dict[float, int]:
        """The number of streams for each timer in seconds."""
        return {tenths / 10: count for tenths, count in sorted(self._timers.items())}


def _add(counts: dict[_T, int], key: _T, change: int) -> None:
    count = counts.get(key, 0) + change
    if count:
        counts[key] = count
    else:
        del counts[key]
