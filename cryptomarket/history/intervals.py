"""What is known of a ticker's time: observed, backfilled, or missing and why. Pure functions over intervals.

The ledger of a ticker is a list of intervals, oldest first, without overlap and without a gap. Nothing here knows a
database or a clock.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

__all__ = [
    "Coverage",
    "Interval",
    "Kind",
    "MissingReasons",
    "Outage",
    "Reason",
    "cover",
    "due",
    "explain",
    "gap_before",
    "kept_since",
    "mark_pruned",
    "merge",
    "record",
    "runs",
]

DAY = 86_400


class Kind(StrEnum):
    """Where the prices of an interval come from."""

    OBSERVED = "observed"  # from our own connection
    BACKFILLED = "backfilled"  # from the exchange's history, a snapshot or an import
    MISSING = "missing"


class Reason(StrEnum):
    """Why an interval is missing."""

    RESTART = "restart"  # this program was not running
    UPSTREAM = "upstream"  # there was no connection to the exchange
    MAINTENANCE = "maintenance"  # the exchange announced maintenance
    DATABASE = "database"  # the database was away for longer than the queue holds
    SILENT = "silent"  # connected, but the exchange sent no tick
    UNASKED = "unasked"  # no stream requested this ticker
    UNRECORDED = "unrecorded"  # before the first record, or after the last
    COARSE = "coarse"  # the exchange's history is coarser than a slot
    PRUNED = "pruned"  # older than the operator keeps prices
    UNAVAILABLE = "unavailable"  # the exchange's history does not have it


#: Which kind wins where two intervals overlap: the higher one.
_RANK = {Kind.OBSERVED: 3, Kind.BACKFILLED: 2, Kind.MISSING: 1}


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` to before `end`, UNIX seconds, in slots of `step` seconds.

    `source` is set for backfilled intervals, `reason` for missing ones.
    """

    start: int
    end: int
    kind: Kind
    step: int
    source: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.start >= self.end or self.step < 1:
            raise ValueError(f"not an interval: {self.start}..{self.end} by {self.step}")

    def yields_to(self, newer: "Interval") -> bool:
        """Whether a newer interval takes the time that both cover."""
        if self.kind is newer.kind:
            return self.kind is not Kind.BACKFILLED  # a backfilled row is never replaced, so its source stays
        return _RANK[newer.kind] > _RANK[self.kind]

    def continues(self, other: "Interval") -> bool:
        """Whether it begins where the other ends and differs in nothing else."""
        return self.start == other.end and replace(self, start=other.start, end=other.end) == other


def merge(ledger: Sequence[Interval], new: Interval) -> list[Interval]:
    """The ledger with a new interval: the stronger kind takes common time, equal neighbours become one."""
    pieces: list[Interval] = []
    uncovered = new.start
    for old in ledger:
        if old.end <= new.start or old.start >= new.end or not old.yields_to(new):
            pieces.append(old)
            if old.end > new.start and old.start < new.end:  # the old one stays: the new one takes what is before it
                if uncovered < old.start:
                    pieces.append(replace(new, start=uncovered, end=old.start))
                uncovered = max(uncovered, old.end)
            continue
        if old.start < new.start:
            pieces.append(replace(old, end=new.start))
        if old.end > new.end:
            pieces.append(replace(old, start=new.end))
    if uncovered < new.end:
        pieces.append(replace(new, start=uncovered))
    return _joined(sorted(pieces, key=lambda piece: piece.start))


def _joined(pieces: Iterable[Interval]) -> list[Interval]:
    """The pieces, oldest first, with equal neighbours joined."""
    whole: list[Interval] = []
    for piece in pieces:
        if whole and piece.continues(whole[-1]):
            whole[-1] = replace(whole[-1], end=piece.end)
        else:
            whole.append(piece)
    return whole


def gap_before(ledger: Sequence[Interval], new: Interval) -> tuple[int, int] | None:
    """Start and end of the time between the ledger's end and a later interval; None when there is none."""
    return (ledger[-1].end, new.start) if ledger and ledger[-1].end < new.start else None


def record(ledger: Sequence[Interval], new: Interval, missing_before: Iterable[Interval] = ()) -> list[Interval]:
    """The ledger with a new interval and without a gap.

    `missing_before` must fill the time that `gap_before` returns. Time between a new interval and the ledger's start
    was never recorded.
    """
    entries = list(ledger)
    for missing in missing_before:
        entries = merge(entries, missing)
    if ledger and new.end < ledger[0].start:
        entries = merge(entries, Interval(new.end, ledger[0].start, Kind.MISSING, new.step, reason=Reason.UNRECORDED))
    return merge(entries, new)


def mark_pruned(ledger: Sequence[Interval], before: int) -> list[Interval]:
    """Marks intervals before `before` as pruned; those already missing keep their reason."""
    pieces: list[Interval] = []
    for entry in ledger:
        if entry.kind is Kind.MISSING or entry.start >= before:
            pieces.append(entry)
            continue
        end = min(entry.end, before)
        pieces.append(replace(entry, end=end, kind=Kind.MISSING, source=None, reason=Reason.PRUNED))
        if entry.end > before:
            pieces.append(replace(entry, start=before))
    return _joined(pieces)


def kept_since(pruned_until: int | None) -> int:
    """The first moment whose prices are kept: pruned days are never refilled. 0 when nothing was pruned."""
    return 0 if pruned_until is None else -(-pruned_until // DAY) * DAY


def runs(slots: Iterable[int], step: int) -> list[tuple[int, int]]:
    """Slots, in any order, as (start, end) of the runs in which each follows the one before."""
    found: list[tuple[int, int]] = []
    for slot in sorted(set(slots)):
        if found and found[-1][1] >= slot:
            found[-1] = (found[-1][0], slot + step)
        else:
            found.append((slot, slot + step))
    return found


@dataclass(frozen=True, slots=True)
class Outage:
    """From `start` to `end` (UNIX seconds; None while it lasts) no tick could arrive, for this reason."""

    start: float
    end: float | None
    reason: str

    def touches(self, start: float, end: float) -> bool:
        """Whether it shares time with [start, end)."""
        return self.start < end and (self.end is None or self.end > start)


def explain(start: int, end: int, step: int, outages: Sequence[Outage], otherwise: str) -> list[Interval]:
    """The missing intervals that fill [start, end), each with its reason.

    A slot has the reason of the first outage that touches it, else `otherwise`. Intervals are cut at multiples of
    `step`, where slots begin.
    """
    touching = [outage for outage in outages if outage.touches(start, end)]
    edges = {start, end}
    for outage in touching:
        first = int(outage.start // step * step)
        last = end if outage.end is None else int(-(-outage.end // step) * step)
        edges |= {edge for edge in (first, last) if start < edge < end}
    return _joined(
        Interval(left, right, Kind.MISSING, step, reason=_reason(left, right, touching, otherwise))
        for left, right in pairwise(sorted(edges))
    )


def _reason(start: int, end: int, outages: Sequence[Outage], otherwise: str) -> str:
    return next((outage.reason for outage in outages if outage.touches(start, end)), otherwise)


@dataclass(frozen=True, slots=True)
class MissingReasons:
    """Why slots are missing, as far as a writer knows before it writes; by default nothing was recording.

    `configured` are the tickers that should always tick; None means all. A slot that no outage touches is `otherwise`
    for them; for other tickers no stream had requested them.
    """

    outages: Sequence[Outage] = ()
    configured: Collection[str] | None = None
    otherwise: Reason = Reason.UNRECORDED

    def explain(self, ticker: str, start: int, end: int, step: int) -> list[Interval]:
        """The missing intervals of a ticker that fill [start, end)."""
        expected = self.configured is None or ticker in self.configured
        return explain(start, end, step, self.outages, self.otherwise if expected else Reason.UNASKED)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The intervals that fill [start, end), oldest first."""

    start: int
    end: int
    intervals: Sequence[Interval]

    @property
    def complete(self) -> bool:
        """Whether nothing of the range is missing; a range without intervals is not complete."""
        return bool(self.intervals) and all(interval.kind is not Kind.MISSING for interval in self.intervals)


#: A slot is due this long after its end: the recorder waits for late ticks before it writes.
DUE_SECONDS = 5


def due(now: float, step: int) -> int:
    """The end of what can be complete by now: the first slot that may still be unwritten, UNIX seconds."""
    return int(now - DUE_SECONDS) // step * step


def cover(ledger: Sequence[Interval], start: int, end: int) -> Coverage:
    """The ledger cut to [start, end); time before its first and after its last entry was never recorded."""
    if start >= end:
        return Coverage(start, end, ())
    step = ledger[-1].step if ledger else 1
    pieces: list[Interval] = []
    position = start  # one walk is enough, as the ledger has no overlap; years may have thousands of entries
    for entry in ledger:
        if entry.end <= start or entry.start >= end:
            continue
        if entry.start > position:
            pieces.append(Interval(position, entry.start, Kind.MISSING, step, reason=Reason.UNRECORDED))
        pieces.append(replace(entry, start=max(entry.start, start), end=min(entry.end, end)))
        position = pieces[-1].end
    if position < end:
        pieces.append(Interval(position, end, Kind.MISSING, step, reason=Reason.UNRECORDED))
    return Coverage(start, end, tuple(_joined(pieces)))
