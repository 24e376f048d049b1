"""Writes events to the streams of a cohort, or to one stream that was blocked, until they have received everything.

A frame is built once for a cohort and written in one plain loop. A stream whose sink refuses it leaves the loop and
keeps its own position. When its reader has taken everything, it receives the newest event of each ticker, then the
events of the connection channel that it missed. Nothing here waits.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model import GapReason
from .connection_channel import ConnectionChannel
from .encoding import connection_event, gap_data
from .event_log import BEGINNING, CHUNK, EventLog, LogEntry, joined
from .statistics import Counters
from .subscribers import Cohort, Stream

__all__ = ["Delivery"]

#: The events of the connection channel kept for a blocked stream. Unbounded, a reader that stops could fill memory.
MAX_PENDING = 16


@dataclass(slots=True)
class _Blocked:
    """The position of a stream when its sink refused. A stream that replays continues there, others with the newest."""

    position: int
    version: int
    since: float
    replays: bool = False
    pending: deque[bytes] = field(default_factory=lambda: deque(maxlen=MAX_PENDING))


class Delivery:
    """Writes the events of the log and of the connection channel to streams, and keeps the blocked ones."""

    def __init__(
        self,
        event_log: EventLog,
        channel: ConnectionChannel,
        counters: Counters,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self._event_log = event_log
        self._channel = channel
        self._counters = counters
        self._monotonic = monotonic
        self._blocked: dict[Stream, _Blocked] = {}

    def __repr__(self) -> str:
        return f"<Delivery {len(self._blocked)} blocked>"

    def __len__(self) -> int:
        """How many streams are blocked."""
        return len(self._blocked)

    # One stream

    def welcome(self, stream: Stream, cohort: Cohort, head: bytes, tail: bytes, since: int | None) -> None:
        """Write the first frame: head, prices, tail. The stream resumes after the position ``since``, if it has one."""
        replays = since is not None and cohort.bucket.immediate
        if replays and since is not None:
            entries = self._event_log.chunk(cohort.tickers, since)
        else:
            entries = self._event_log.newest(cohort.tickers)
        cohort.ahead[stream] = entries[-1].position if replays and len(entries) == CHUNK else self._event_log.position
        frame = cohort.framed(head + joined(entries, cohort.fields) + tail)
        if not stream.sink.write(frame):
            blocked = self._block(
                stream, cohort, since if replays and since is not None else BEGINNING, replays=replays
            )
            blocked.pending.append(head + tail)
            return
        # Without the ages: the last tick of a silent ticker may be old, which says nothing about delivery.
        self._counters.delivered += len(entries)
        if replays and len(entries) == CHUNK:
            self._replay(stream, cohort, entries[-1].position)

    def send(self, stream: Stream, event: bytes) -> None:
        """Write an event of the connection channel to one stream, or keep it while the stream is blocked."""
        cohort = stream.cohort
        if cohort is None:
            return
        blocked = self._blocked.get(stream)
        if blocked is None:
            if stream.sink.write(cohort.framed(event)):
                return
            blocked = self._block(stream, cohort, cohort.position_of(stream))
        blocked.pending.append(event)

    def _block(self, stream: Stream, cohort: Cohort, position: int, *, replays: bool = False) -> _Blocked:
        if stream.cohort is None:  # the write found that the reader had gone
            return _Blocked(position, 0, 0.0)
        cohort.remove(stream)
        cohort.blocked.add(stream)
        blocked = self._blocked[stream] = _Blocked(position, cohort.version, self._monotonic(), replays)
        self._counters.blocked += not replays
        stream.sink.when_drained(lambda: self._resume(stream))
        return blocked

    def _resume(self, stream: Stream) -> None:
        """Write what a blocked stream missed: the newest ticks, the state if it changed, then the events kept."""
        blocked, cohort = self._blocked.pop(stream, None), stream.cohort
        if blocked is None or cohort is None:
            return
        cohort.blocked.discard(stream)
        extra = [self._channel.state(cohort.tickers)] if blocked.version != self._channel.version else []
        extra += blocked.pending
        if blocked.replays:
            self._replay(stream, cohort, blocked.position, extra)
            return
        entries = self._event_log.newest(cohort.tickers, blocked.position)
        self._counters.conflated += self._conflated(cohort, blocked.position, entries)
        self._catch_up(stream, cohort, entries, blocked.position, extra)

    def _catch_up(
        self, stream: Stream, cohort: Cohort, entries: list[LogEntry], before: int, extra: list[bytes]
    ) -> None:
        cohort.ahead[stream] = self._event_log.position
        frame = b"".join((joined(entries, cohort.fields), *extra))
        if not frame or stream.sink.write(cohort.framed(frame)):
            self._count(entries, 1)
        else:
            self._block(stream, cohort, before).pending.extend(extra)

    def _replay(self, stream: Stream, cohort: Cohort, position: int, extra: list[bytes] | None = None) -> None:
        """Write chunk after chunk of the missed events, until the stream has caught up or is blocked again."""
        extra = extra or []
        while True:
            if self._event_log.lost(cohort.tickers, position):
                # The log dropped events that the stream has not received yet.
                gap = connection_event(gap_data(GapReason.TOO_OLD, since=self._event_log.id(position)))
                entries = self._event_log.newest(cohort.tickers, position)
                self._catch_up(stream, cohort, entries, position, [gap, *extra])
                return
            entries = self._event_log.chunk(cohort.tickers, position)
            frame = b"".join((joined(entries, cohort.fields), *extra))
            if frame and not stream.sink.write(cohort.framed(frame)):
                self._block(stream, cohort, position, replays=True).pending.extend(extra)
                return
            self._count(entries, 1)
            extra = []
            if len(entries) < CHUNK:
                cohort.ahead[stream] = self._event_log.position
                return
            position = entries[-1].position

    # A cohort

    def deliver(self, cohort: Cohort) -> int:
        """Write every tick since the cohort's position (timer 0), or the newest of each ticker (any other timer).

        Returns the number of writes.
        """
        writes = 0
        every = cohort.bucket.immediate
        if every and cohort.position < self._event_log.dropped:
            writes += self._announce_dropped(cohort)
        while cohort.position < self._event_log.position:
            before = cohort.position
            entries = (self._event_log.chunk if every else self._event_log.newest)(cohort.tickers, before)
            end = entries[-1].position if every and len(entries) == CHUNK else self._event_log.position
            if entries:
                writes += self._deliver(cohort, entries, before)
                if not every:
                    self._counters.conflated += self._conflated(cohort, before, entries) * len(cohort.streams)
            cohort.position = end
            for stream, position in list(cohort.ahead.items()):
                if position <= end:
                    del cohort.ahead[stream]
                    cohort.streams.add(stream)
        return writes

    def _announce_dropped(self, cohort: Cohort) -> int:
        """Write a gap when the log dropped ticks that the cohort has not received: more came at once than are kept."""
        if not self._event_log.dropped_after(cohort.tickers, cohort.position):
            return 0
        gap = gap_data(GapReason.TOO_OLD, since=self._event_log.id(cohort.position))
        return self.broadcast(cohort, connection_event(gap))

    def _deliver(self, cohort: Cohort, entries: list[LogEntry], before: int) -> int:
        frame = cohort.framed(joined(entries, cohort.fields))
        self._counters.frames += 1
        taken = 0
        # A copy, because a write that finds its reader gone changes the set.
        for stream in tuple(cohort.streams):
            if stream.sink.write(frame):
                taken += 1
            else:
                self._block(stream, cohort, before)
        self._count(entries, taken)
        cohort.last_sent = self._monotonic()
        return taken + self._deliver_ahead(cohort, entries)

    def _deliver_ahead(self, cohort: Cohort, entries: list[LogEntry]) -> int:
        """Write to the streams that joined or resumed since the last delivery what they have not received yet."""
        frames: dict[int, bytes] = {}
        taken = 0
        for stream, position in list(cohort.ahead.items()):
            rest = [entry for entry in entries if entry.position > position]
            if not rest:
                continue
            frame = frames.get(len(rest))
            if frame is None:
                frame = frames[len(rest)] = cohort.framed(joined(rest, cohort.fields))
                self._counters.frames += 1
            if stream.sink.write(frame):
                taken += 1
                self._count(rest, 1)
                if not cohort.bucket.immediate:
                    self._counters.conflated += self._conflated(cohort, position, rest)
            else:
                self._block(stream, cohort, position)
        return taken

    def broadcast(self, cohort: Cohort, event: bytes, *, keep: bool = False) -> int:
        """Write an event of the connection channel to the streams that are not blocked; returns how many they are.

        With ``keep`` the blocked ones receive it when they resume.
        """
        frame = cohort.framed(event)
        writable = cohort.members()
        for stream in writable:
            if not stream.sink.write(frame):
                self._block(stream, cohort, cohort.position_of(stream))
        cohort.last_sent = self._monotonic()
        if keep:
            for stream in cohort.blocked:
                self._blocked[stream].pending.append(event)
        return len(writable)

    # Blocked streams

    def discard(self, stream: Stream) -> None:
        """Drop what is kept for a stream that has left."""
        self._blocked.pop(stream, None)

    def blocked_since(self, moment: float) -> list[Stream]:
        """The streams that have been blocked since the moment or longer, the longest first."""
        found = []
        for stream, blocked in self._blocked.items():
            if blocked.since > moment:
                break
            found.append(stream)
        return found

    def _conflated(self, cohort: Cohort, after: int, entries: list[LogEntry]) -> int:
        """The number of ticks after the position that the entries replace."""
        return self._event_log.count(cohort.tickers, after) - len(entries)

    def _count(self, entries: list[LogEntry], streams: int) -> None:
        if streams:
            self._counters.delivered += len(entries) * streams
            now = self._monotonic()
            for entry in entries:
                self._counters.add_age(now - entry.arrived, streams)
