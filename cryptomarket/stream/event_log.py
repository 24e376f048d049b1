"""The recent events of every followed ticker as bytes, in order of arrival, so that a stream can resume.

Each tick is encoded once, on arrival. The memory of all events together is bounded, whatever streams ask for. A
position is the number of an arrival on this node. Within an epoch it differs from the sequence of the bus by a
constant, so that the id of an event can be turned into a position. Where the sequence leaps, this node missed ticks.
The log knows no stream and no clock.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from heapq import merge
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from ..fields import Fields, FieldValues
from ..model import GapReason, Tick
from .encoding import price_event, with_fields

__all__ = [
    "BEGINNING",
    "CHUNK",
    "KEPT_DEMANDED_TICKS",
    "KEPT_EPOCHS",
    "KEPT_TICKS",
    "MOST_BYTES",
    "EventLog",
    "LogEntry",
    "joined",
]

#: The position before every arrival.
BEGINNING = -(1 << 62)
#: Ticks kept for each configured ticker, and for each that only streams want.
KEPT_TICKS, KEPT_DEMANDED_TICKS = 10_000, 500
#: The memory of all events, unless set otherwise.
MOST_BYTES = 64 * 2**20
#: What an event takes in memory besides its data, as measured: a tuple, two numbers, the header of a bytes object, and
#: an entry of a list.
ENTRY_BYTES = 200
#: What its fields take besides their characters: a tuple and five strings.
FIELDS_BYTES = 350
#: A full log drops events until it has this share of its bound: to drop one event for each that arrives costs more.
LEFT_SHARE = 15 / 16
#: The most events in one write, about 26 KB. A reader that catches up receives chunk after chunk, at its own pace.
CHUNK = 128
#: Epochs whose ids can still be turned into positions.
KEPT_EPOCHS = 8

_ID = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")
_POSITION = itemgetter(0)


class LogEntry(NamedTuple):
    """The event of one tick: its position, its arrival in monotonic seconds, its bytes without fields, and those."""

    position: int
    arrived: float
    data: bytes
    fields: FieldValues = ()

    @property
    def size(self) -> int:
        """The memory that the entry takes, in bytes."""
        size = len(self.data) + ENTRY_BYTES
        return size + FIELDS_BYTES + sum(map(len, filter(None, self.fields))) if self.fields else size


def joined(entries: Iterable[LogEntry], fields: Fields) -> bytes:
    """The events of the entries, each with the groups ``fields``."""
    if not fields:
        return b"".join([entry.data for entry in entries])
    return b"".join([with_fields(entry.data, entry.fields, fields) for entry in entries])


class _Ring:
    """The last events of one ticker, about ``kept``. Events at positions up to ``start`` are not kept.

    Without ``keeps_fields`` the newest event alone has its fields. Events at positions up to ``bare`` lack them.
    """

    __slots__ = ("bare", "bytes", "entries", "keeps_fields", "kept", "most", "newest", "start")

    def __init__(self, start: int, kept: int, *, keeps_fields: bool = False) -> None:
        self.entries: list[LogEntry] = []
        self.newest: LogEntry | None = None
        self.start = self.bare = start
        self.keeps_fields = keeps_fields
        self.kept = kept
        self.most = kept + kept // 8  # dropping moves the whole list, so it is done rarely
        self.bytes = 0

    def drop(self, count: int) -> int:
        """Drop the oldest events; return how many bytes they had."""
        dropped = sum(entry.size for entry in islice(self.entries, count))
        self.start = self.entries[count - 1].position
        del self.entries[:count]
        self.bytes -= dropped
        return dropped

    def index(self, position: int) -> int:
        return bisect_right(self.entries, position, key=_POSITION)


class EventLog:
    """The events of the tickers that this node follows: of the configured ``tickers``, and of those `follow` adds.

    When all events together have more than ``most_bytes``, the oldest of the largest ring of a ticker that is not
    configured are dropped; where none is left, the oldest of all. The newest event of each ticker stays.
    """

    def __init__(
        self,
        tickers: Iterable[str],
        *,
        kept: int = KEPT_TICKS,
        kept_demanded: int = KEPT_DEMANDED_TICKS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.epoch = 0
        self.sequence = 0
        #: The position of the newest arrival.
        self.position = 0
        self._begun = self._offset = 0
        self._offsets: dict[int, int] = {}
        #: The last position of each earlier epoch.
        self._ends: dict[int, int] = {}
        #: Nothing is missing after this position.
        self._complete_since = 0
        #: The memory of all events, and its bound.
        self.bytes, self.most_bytes = 0, most_bytes
        #: Events up to this position may have been dropped.
        self.dropped = 0
        self._kept_demanded = kept_demanded
        self._configured = {ticker: _Ring(self.position, kept) for ticker in tickers}
        self._demanded: dict[str, _Ring] = {}
        #: The tickers that a stream of timer 0 wanted with fields, until no stream wants them any more.
        self._with_fields: set[str] = set()
        self._rings = dict(self._configured)

    def __repr__(self) -> str:
        return f"<EventLog {len(self._rings)} tickers at {self.epoch}-{self.sequence}>"

    def follow(self, added: frozenset[str], released: frozenset[str]) -> None:
        """Keep the events of the tickers added from now on, and none of those released."""
        for ticker in added:
            keeps = ticker in self._with_fields
            ring = _Ring(self.position, self._kept_demanded, keeps_fields=keeps)
            self._rings[ticker] = self._demanded[ticker] = ring
        for ticker in released:
            del self._rings[ticker]
            self._with_fields.discard(ticker)
            self.bytes -= self._demanded.pop(ticker).bytes

    def follows(self, ticker: str) -> bool:
        """Whether the events of the ticker are kept."""
        return ticker in self._rings

    def keep_fields(self, tickers: Iterable[str]) -> None:
        """Keep the fields of these tickers from now on, for streams that receive every tick with them."""
        for ticker in tickers:
            self._with_fields.add(ticker)
            ring = self._rings.get(ticker)
            if ring is None or ring.keeps_fields:
                continue
            ring.keeps_fields = True
            if ring.newest is not None:
                size = ring.newest.size - ring.entries[-1].size
                ring.entries[-1] = ring.newest
                ring.bytes += size
                self.bytes += size

    def append(self, tick: Tick, now: float) -> bool:
        """Encode and keep the tick; return False for one that is not followed, of a lower epoch, or repeated."""
        if (tick.epoch, tick.sequence) <= (self.epoch, self.sequence):
            return False
        complete = tick.follows(self.epoch, self.sequence)
        if tick.epoch > self.epoch:
            self._begin(tick, complete)
        self.sequence = tick.sequence
        self.position = tick.sequence + self._offset
        if not complete:
            self._complete_since = self.position - 1
        ring = self._rings.get(tick.ticker)
        if ring is None:
            return False
        entry = ring.newest = LogEntry(self.position, now, price_event(tick), tick.fields)
        if tick.fields and not ring.keeps_fields:
            entry = LogEntry(self.position, now, entry.data)
            ring.bare = self.position - 1
        ring.entries.append(entry)
        size = entry.size if entry.fields else len(entry.data) + ENTRY_BYTES
        ring.bytes += size
        self.bytes += size
        if len(ring.entries) > ring.most:
            self._drop(ring, len(ring.entries) - ring.kept)
        if self.bytes > self.most_bytes:
            self._make_room()
        return True

    def _drop(self, ring: _Ring, count: int) -> None:
        self.bytes -= ring.drop(count)
        self.dropped = max(self.dropped, ring.start)

    def _make_room(self) -> None:
        """Drop an eighth of a ring at a time: the largest demanded one, or else the one with the oldest event."""
        left = self.most_bytes * LEFT_SHARE
        while self.bytes > left:
            ring = max(self._demanded.values(), key=lambda one: one.bytes, default=None)
            if ring is None or len(ring.entries) < 2:
                rings = [one for one in self._rings.values() if len(one.entries) > 1]
                if not rings:
                    return
                ring = min(rings, key=lambda one: one.entries[0].position)
            self._drop(ring, max(1, len(ring.entries) // 8))

    def _begin(self, tick: Tick, complete: bool) -> None:
        """Continue the positions in a new epoch; ticks that did not arrive here take up one position."""
        self._ends[self.epoch] = self._begun = self.position
        self.epoch = tick.epoch
        self._offset = self._offsets[tick.epoch] = self.position + (1 if complete else 2) - tick.sequence
        if len(self._offsets) > KEPT_EPOCHS:
            oldest = min(self._offsets)
            del self._offsets[oldest], self._ends[oldest]

    def newest(self, tickers: Iterable[str], after: int = BEGINNING) -> list[LogEntry]:
        """The newest event of each ticker that has one after the position, in order."""
        rings = self._rings
        found = [
            ring.newest
            for ticker in tickers
            if (ring := rings.get(ticker)) is not None and ring.newest is not None and ring.newest.position > after
        ]
        if len(found) > 1:
            found.sort(key=_POSITION)
        return found

    def chunk(self, tickers: Iterable[str], after: int) -> list[LogEntry]:
        """The events of the tickers after the position, in order; the first `CHUNK` of them at most."""
        found: list[list[LogEntry]] = []
        for ticker in tickers:
            ring = self._rings.get(ticker)
            if ring is None or ring.newest is None or ring.newest.position <= after:
                continue
            index = ring.index(after)
            found.append(ring.entries[index : index + CHUNK])
        if len(found) == 1:
            return found[0]
        return list(islice(merge(*found), CHUNK))  # entries compare by their positions, which differ

    def count(self, tickers: Iterable[str], after: int) -> int:
        """The number of kept events of the tickers after the position."""
        rings = (self._rings.get(ticker) for ticker in tickers)
        return sum(len(ring.entries) - ring.index(after) for ring in rings if ring is not None)

    def lost(self, tickers: Iterable[str], after: int, *, fields: bool = False) -> bool:
        """Whether any event after the position did not arrive here or is no longer kept, with its fields if asked.

        A ticker that is not followed here has no events; its streams are told so.
        """
        return after < self._complete_since or self.dropped_after(tickers, after, fields=fields)

    def dropped_after(self, tickers: Iterable[str], after: int, *, fields: bool = False) -> bool:
        """Whether any event after the position is no longer kept, with its fields if asked."""
        rings = map(self._rings.get, tickers)
        return any(ring is not None and (ring.start > after or (fields and ring.bare > after)) for ring in rings)

    def resume(self, tickers: Iterable[str], event_id: str, *, fields: bool = False) -> int | GapReason:
        """The position of the id, or why a stream cannot resume after it, with the missed fields if asked."""
        match = _ID.fullmatch(event_id)
        if match is None:
            return GapReason.UNKNOWN
        epoch, sequence = int(match[1]), int(match[2])
        if (epoch, sequence) > (self.epoch, self.sequence):
            return GapReason.UNKNOWN
        offset = self._offsets.get(epoch)
        if offset is None:
            return GapReason.EPOCH
        # On another node the reader may have received more of an earlier epoch than arrived here.
        position = min(sequence + offset, self._ends.get(epoch, self.position))
        if not self.lost(tickers, position, fields=fields):
            return position
        return GapReason.TOO_OLD if epoch == self.epoch else GapReason.EPOCH

    def id(self, position: int) -> str | None:
        """The id of a position of the current epoch, else None."""
        return f"{self.epoch}-{position - self._offset}" if position > self._begun else None
