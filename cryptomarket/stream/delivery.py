"""Delivery: brings a cohort, or one stream that was away, up to the present.

A frame is built once and written in one plain loop. A stream whose sink refuses leaves the loop and keeps its position
alone; when its reader wakes, it gets the newest of each ticker, then the news it missed. Nothing here waits.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model import GapReason
from .encoding import connection_event, gap_data
from .event_log import BEGINNING, PIECE, EventLog, LogEntry
from .statistics import Counters
from .subscribers import Cohort, Stream

__all__ = ["Delivery"]

#: News for one person that a blocked stream keeps; without a bound it would be a way to fill memory.
PENDING = 16


@dataclass(slots=True)
class _Blocked:
    """Where a stream stood when its sink refused. One that replays gets every tick from there, others the newest."""

    position: int
    version: int
    since: float
    replays: bool = False
    pending: deque[bytes] = field(default_factory=lambda: deque(maxlen=PENDING))


class Delivery:
    """Writes what the feed has to streams. ``state`` gives the state event for a stream of some tickers."""

    def __init__(
        self,
        feed: EventLog,
        counters: Counters,
        *,
        state: Callable[[frozenset[str]], bytes],
        monotonic: Callable[[], float],
    ) -> None:
        self._feed = feed
        self._counters = counters
        self._state = state
        self._monotonic = monotonic
        self._blocked: dict[Stream, _Blocked] = {}
        #: Grows with every change of state; what a cohort was told last is its ``version``.
        self.version = 0

    def __repr__(self) -> str:
        return f"<Delivery {len(self._blocked)} blocked>"

    def __len__(self) -> int:
        """How many streams are blocked."""
        return len(self._blocked)

    # One stream

    def welcome(self, stream: Stream, cohort: Cohort, head: bytes, tail: bytes, since: int | None) -> None:
        """The first write: the head, the prices, the tail; ``since`` is the position that the stream resumes from."""
        replays = since is not None and cohort.bucket.immediate
        if replays and since is not None:
            entries = self._feed.every(cohort.tickers, since)
        else:
            entries = self._feed.newest(cohort.tickers)
        cohort.ahead[stream] = entries[-1].order if replays and len(entries) == PIECE else self._feed.position
        frame = cohort.framed(b"".join((head, *(entry.data for entry in entries), tail)))
        if not stream.sink.write(frame):
            blocked = self._block(
                stream, cohort, since if replays and since is not None else BEGINNING, replays=replays
            )
            blocked.pending.append(head + tail)
            return
        # Not aged: it may be the last tick of a ticker that has been silent for long.
        self._counters.delivered += len(entries)
        if replays and len(entries) == PIECE:
            self._replay(stream, cohort, entries[-1].order)

    def give(self, stream: Stream, event: bytes) -> None:
        """Write an event of the connection channel to one stream, or keep it until the stream wakes."""
        cohort = stream.cohort
        if cohort is None:
            return
        blocked = self._blocked.get(stream)
        if blocked is None:
            if stream.sink.write(cohort.framed(event)):
                return
            blocked = self._block(stream, cohort, cohort.where(stream))
        blocked.pending.append(event)

    def _block(self, stream: Stream, cohort: Cohort, position: int, *, replays: bool = False) -> _Blocked:
        if stream.cohort is None:  # the refused write found its reader gone
            return _Blocked(position, 0, 0.0)
        cohort.take_out(stream)
        blocked = self._blocked[stream] = _Blocked(position, cohort.version, self._monotonic(), replays)
        self._counters.blocked += not replays
        stream.sink.when_drained(lambda: self._wake(stream))
        return blocked

    def _wake(self, stream: Stream) -> None:
        """Its reader took everything: the newest first, then the state if it changed, then the news kept for it."""
        blocked, cohort = self._blocked.pop(stream, None), stream.cohort
        if blocked is None or cohort is None:
            return
        news = [self._state(cohort.tickers)] if blocked.version != self.version else []
        news += blocked.pending
        if blocked.replays:
            self._replay(stream, cohort, blocked.position, news)
            return
        entries = self._feed.newest(cohort.tickers, blocked.position)
        self._counters.conflated += self._missed(cohort, blocked.position, entries)
        self._catch_up(stream, cohort, entries, blocked.position, news)

    def _catch_up(
        self, stream: Stream, cohort: Cohort, entries: list[LogEntry], before: int, news: list[bytes]
    ) -> None:
        cohort.ahead[stream] = self._feed.position
        frame = b"".join((*(entry.data for entry in entries), *news))
        if not frame or stream.sink.write(cohort.framed(frame)):
            self._wrote(entries, 1)
        else:
            self._block(stream, cohort, before).pending.extend(news)

    def _replay(self, stream: Stream, cohort: Cohort, position: int, news: list[bytes] | None = None) -> None:
        """Piece after piece of what it missed, until it has caught up or its reader is behind."""
        news = news or []
        while True:
            if self._feed.lost(cohort.tickers, position):
                # Slower than the ticks are forgotten: said, and gone on with the newest.
                gap = connection_event(gap_data(GapReason.TOO_OLD, since=self._feed.id(position)))
                entries = self._feed.newest(cohort.tickers, position)
                self._catch_up(stream, cohort, entries, position, [gap, *news])
                return
            entries = self._feed.every(cohort.tickers, position)
            frame = b"".join((*(entry.data for entry in entries), *news))
            if frame and not stream.sink.write(cohort.framed(frame)):
                self._block(stream, cohort, position, replays=True).pending.extend(news)
                return
            self._wrote(entries, 1)
            news = []
            if len(entries) < PIECE:
                cohort.ahead[stream] = self._feed.position
                return
            position = entries[-1].order

    # A cohort

    def deliver(self, cohort: Cohort) -> int:
        """Bring the cohort up to the present: every tick if it is served at once, else the newest of each ticker.

        Gives the number of writes.
        """
        writes = 0
        every = cohort.bucket.immediate
        while cohort.position < self._feed.position:
            before = cohort.position
            entries = (self._feed.every if every else self._feed.newest)(cohort.tickers, before)
            end = entries[-1].order if every and len(entries) == PIECE else self._feed.position
            if entries:
                writes += self._deliver(cohort, entries, before)
                if not every:
                    self._counters.conflated += self._missed(cohort, before, entries) * len(cohort.streams)
            cohort.position = end
            for stream, position in list(cohort.ahead.items()):
                if position <= end:
                    del cohort.ahead[stream]
                    cohort.streams.add(stream)
        return writes

    def _deliver(self, cohort: Cohort, entries: list[LogEntry], before: int) -> int:
        frame = cohort.framed(b"".join([entry.data for entry in entries]))
        self._counters.frames += 1
        taken = 0
        # A copy: a write may find the reader gone.
        for stream in tuple(cohort.streams):
            if stream.sink.write(frame):
                taken += 1
            else:
                self._block(stream, cohort, before)
        self._wrote(entries, taken)
        cohort.last_sent = self._monotonic()
        return taken + self._deliver_ahead(cohort, entries)

    def _deliver_ahead(self, cohort: Cohort, entries: list[LogEntry]) -> int:
        """Those that joined or woke since the last delivery have seen some of it already."""
        frames: dict[int, bytes] = {}
        taken = 0
        for stream, position in list(cohort.ahead.items()):
            rest = [entry for entry in entries if entry.order > position]
            if not rest:
                continue
            frame = frames.get(len(rest))
            if frame is None:
                frame = frames[len(rest)] = cohort.framed(b"".join([entry.data for entry in rest]))
                self._counters.frames += 1
            if stream.sink.write(frame):
                taken += 1
                self._wrote(rest, 1)
                if not cohort.bucket.immediate:
                    self._counters.conflated += self._missed(cohort, position, rest)
            else:
                self._block(stream, cohort, position)
        return taken

    def tell(self, cohort: Cohort, event: bytes) -> int:
        """Write an event of the connection channel to every stream of the cohort that can take it; gives how many."""
        frame = cohort.framed(event)
        writable = cohort.members()
        for stream in writable:
            if not stream.sink.write(frame):
                self._block(stream, cohort, cohort.where(stream))
        cohort.last_sent = self._monotonic()
        return len(writable)

    def keep(self, cohort: Cohort, event: bytes) -> None:
        """Keep the event for the streams of the cohort that are blocked now."""
        for stream, blocked in self._blocked.items():
            if stream.cohort is cohort:
                blocked.pending.append(event)

    # The rest

    def forget(self, stream: Stream) -> None:
        """The stream has left."""
        self._blocked.pop(stream, None)

    def blocked_since(self, moment: float) -> list[Stream]:
        """The streams whose reader has taken nothing since before the moment; they stand in order of time."""
        found = []
        for stream, blocked in self._blocked.items():
            if blocked.since > moment:
                break
            found.append(stream)
        return found

    def _missed(self, cohort: Cohort, after: int, entries: list[LogEntry]) -> int:
        """How many ticks of the cohort after the position were replaced by the entries."""
        return self._feed.count(cohort.tickers, after) - len(entries)

    def _wrote(self, entries: list[LogEntry], streams: int) -> None:
        if streams:
            self._counters.delivered += len(entries) * streams
            now = self._monotonic()
            for entry in entries:
                self._counters.aged(now - entry.arrived, streams)
