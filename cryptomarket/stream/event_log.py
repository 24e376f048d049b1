"""The feed: every ticker's events as bytes, in order of arrival, and what a reader at some position has not seen.

Each tick is encoded once, on arrival. A position is the number of an arrival on this node; within an epoch it runs
parallel to the bus's sequence, so that an id of the stream can be turned into a position. Where the
sequence leaps, this node missed something. It knows no stream, no clock.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from operator import itemgetter
from typing import NamedTuple

from ..model import GapReason, Tick
from .encoding import price_event

__all__ = ["BEGINNING", "EPOCHS", "KEPT_TICKS", "PIECE", "EventLog", "LogEntry"]

#: Before every arrival.
BEGINNING = -(1 << 62)
KEPT_TICKS = 10_000
#: Events of one write at most, about 26 KB: a reader catching up takes piece after piece at its own pace.
PIECE = 128
#: Leaders whose ticks can still be put in order.
EPOCHS = 8

_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_ORDER = itemgetter(0)


class LogEntry(NamedTuple):
    """The event of one tick: its position, its arrival in monotonic seconds, its bytes."""

    order: int
    arrived: float
    data: bytes


class _Ring:
    """The last events of one ticker. Positions up to ``start`` are not kept, if there were any."""

    __slots__ = ("entries", "newest", "start")

    def __init__(self, start: int) -> None:
        self.entries: list[LogEntry] = []
        self.newest: LogEntry | None = None
        self.start = start

    def append(self, entry: LogEntry, kept: int) -> None:
        self.newest = entry
        self.entries.append(entry)
        if len(self.entries) > kept + kept // 8:  # cut rarely: cutting moves the whole list
            excess = len(self.entries) - kept
            self.start = self.entries[excess - 1].order
            del self.entries[:excess]

    def index(self, position: int) -> int:
        return bisect_right(self.entries, position, key=_ORDER)


class EventLog:
    """The events of the tickers that somebody here wants; others are not kept."""

    def __init__(self, tickers: Iterable[str], *, kept: int = KEPT_TICKS) -> None:
        self.epoch = 0
        self.sequence = 0
        #: The position of the newest arrival.
        self.position = 0
        self._begun = self._offset = 0
        self._offsets: dict[int, int] = {}
        #: The last position of each epoch that is over.
        self._ends: dict[int, int] = {}
        #: From here on nothing is missing.
        self._whole_since = 0
        self._kept = kept
        self._rings = {ticker: _Ring(self.position) for ticker in tickers}

    def __repr__(self) -> str:
        return f"<Feed {len(self._rings)} tickers at {self.epoch}-{self.sequence}>"

    def follow(self, added: frozenset[str], released: frozenset[str]) -> None:
        """Keep the events of the tickers added from now on, and none of those released."""
        for ticker in added:
            self._rings[ticker] = _Ring(self.position)
        for ticker in released:
            del self._rings[ticker]

    def take(self, tick: Tick, now: float) -> bool:
        """Encode and keep the tick; False for one nobody wants, of a lower epoch, or that was here before."""
        if (tick.epoch, tick.sequence) <= (self.epoch, self.sequence):
            return False
        whole = tick.follows(self.epoch, self.sequence)
        if tick.epoch > self.epoch:
            self._begin(tick, whole)
        self.sequence = tick.sequence
        self.position = tick.sequence + self._offset
        if not whole:
            self._whole_since = self.position - 1
        ring = self._rings.get(tick.ticker)
        if ring is None:
            return False
        ring.append(LogEntry(self.position, now, price_event(tick)), self._kept)
        return True

    def _begin(self, tick: Tick, whole: bool) -> None:
        """A new leader: positions go on, whatever its sequence; what did not come here has one of its own."""
        self._ends[self.epoch] = self._begun = self.position
        self.epoch = tick.epoch
        self._offset = self._offsets[tick.epoch] = self.position + (1 if whole else 2) - tick.sequence
        if len(self._offsets) > EPOCHS:
            oldest = min(self._offsets)
            del self._offsets[oldest], self._ends[oldest]

    def newest(self, tickers: Iterable[str], after: int = BEGINNING) -> list[LogEntry]:
        """The newest event of each ticker that had one after the position, in order."""
        rings = self._rings
        found = [
            ring.newest
            for ticker in tickers
            if (ring := rings.get(ticker)) is not None and ring.newest is not None and ring.newest.order > after
        ]
        if len(found) > 1:
            found.sort(key=_ORDER)
        return found

    def every(self, tickers: Iterable[str], after: int) -> list[LogEntry]:
        """The events of the tickers after the position, in order, one piece of them at most."""
        found: list[LogEntry] = []
        for ticker in tickers:
            ring = self._rings.get(ticker)
            if ring is None or ring.newest is None or ring.newest.order <= after:
                continue
            index = ring.index(after)
            found += ring.entries[index : index + PIECE]
        found.sort(key=_ORDER)
        return found[:PIECE]

    def count(self, tickers: Iterable[str], after: int) -> int:
        """How many kept ticks the tickers had after the position."""
        rings = (self._rings.get(ticker) for ticker in tickers)
        return sum(len(ring.entries) - ring.index(after) for ring in rings if ring is not None)

    def lost(self, tickers: Iterable[str], after: int) -> bool:
        """Whether something after the position did not come here or is no longer kept."""
        rings = map(self._rings.get, tickers)
        return after < self._whole_since or any(ring is None or ring.start > after for ring in rings)

    def resume(self, tickers: Iterable[str], event_id: str) -> int | GapReason:
        """The position of the id, or why a reader that saw it last cannot be continued from there."""
        match = _ID.fullmatch(event_id)
        if match is None:
            return GapReason.UNKNOWN
        epoch, sequence = int(match[1]), int(match[2])
        if (epoch, sequence) > (self.epoch, self.sequence):
            return GapReason.UNKNOWN
        offset = self._offsets.get(epoch)
        if offset is None:
            return GapReason.EPOCH
        # A reader may have seen more of an epoch that is over than came here; the next epoch is all new to it.
        position = min(sequence + offset, self._ends.get(epoch, self.position))
        if not self.lost(tickers, position):
            return position
        return GapReason.TOO_OLD if epoch == self.epoch else GapReason.EPOCH

    def id(self, position: int) -> str | None:
        """The id of a position; None for one of an epoch that is over."""
        return f"{self.epoch}-{position - self._offset}" if position > self._begun else None
