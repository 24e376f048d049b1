"""What is known of a stretch of time: observed, backfilled or missing, and why. Plain functions over intervals.

The ledger of a ticker is a list of intervals without overlap or hole, oldest first. Nothing here knows a database.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

__all__ = [
    "Coverage",
    "Explain",
    "Interval",
    "Kind",
    "Outage",
    "Reason",
    "cover",
    "due",
    "explain",
    "kept_since",
    "merge",
    "pruned",
    "record",
    "runs",
]


DAY = 86_400


class Kind(StrEnum):
    """How we know what happened in an interval."""

    OBSERVED = "observed"
    BACKFILLED = "backfilled"
    MISSING = "missing"


class Reason(StrEnum):
    """Why an interval is missing."""

    RESTART = "restart"  # this program was not running
    UPSTREAM = "upstream"  # no connection to the exchange
    MAINTENANCE = "maintenance"  # the exchange said so
    DATABASE = "database"  # it was away for longer than the queue holds
    SILENT = "silent"  # connected, but the exchange sent no tick
    UNASKED = "unasked"  # nobody asked for this ticker
    UNRECORDED = "unrecorded"  # before the first record, or after the last
    COARSE = "coarse"  # the exchange's history is coarser than a slot
    PRUNED = "pruned"  # older than the operator keeps prices
    UNAVAILABLE = "unavailable"  # the exchange's history does not have it


#: Who wins where two claims meet: what we heard, then what was filled in, then what we lack.
_RANK = {Kind.OBSERVED: 3, Kind.BACKFILLED: 2, Kind.MISSING: 1}


@dataclass(frozen=True, slots=True)
class Interval:
    """From `start` to before `end`, UNIX seconds, in slots of `step` seconds."""

    start: int
    end: int
    kind: Kind
    step: int
    source: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.start >= self.end or self.step < 1:
            raise ValueError(f"not an interval: {self.start}..{self.end} by {self.step}")

    def yields_to(self, other: "Interval") -> bool:
        """Whether the other, coming later, takes the time they share."""
        if self.kind is other.kind:
            return self.kind is not Kind.BACKFILLED  # a row that was filled in stays, and with it its source
        return _RANK[other.kind] > _RANK[self.kind]

    def continues(self, other: "Interval") -> bool:
        """Whether it says the same as the other and begins where that ends."""
        return self.start == other.end and replace(self, start=other.start, end=other.end) == other


#: Explains a hole of a ticker: (start, end) to missing intervals that fill it exactly.
Explain = Callable[[int, int], Sequence[Interval]]


def merge(ledger: Sequence[Interval], new: Interval) -> list[Interval]:
    """The ledger after a claim: the stronger kind takes the time both claim, and equal neighbours become one."""
    pieces: list[Interval] = []
    uncovered = new.start
    for old in ledger:
        if old.end <= new.start or old.start >= new.end or not old.yields_to(new):
            pieces.append(old)
            if old.end > new.start and old.start < new.end:  # the old one stays: the new claims what is before it
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
    whole: list[Interval] = []
    for piece in pieces:
        if whole and piece.continues(whole[-1]):
            whole[-1] = replace(whole[-1], end=piece.end)
        else:
            whole.append(piece)
    return whole


def record(ledger: Sequence[Interval], new: Interval, why: Explain) -> list[Interval]:
    """The ledger after a claim, without a hole: what lies between the claim and the rest is missing, and says why."""
    entries = list(ledger)
    if ledger and ledger[-1].end < new.start:
        for hole in why(ledger[-1].end, new.start):
            entries = merge(entries, hole)
    if ledger and new.end < ledger[0].start:
        entries = merge(entries, Interval(new.end, ledger[0].start, Kind.MISSING, new.step, reason=Reason.UNRECORDED))
    return merge(entries, new)


def pruned(ledger: Sequence[Interval], before: int) -> list[Interval]:
    """The ledger once the prices before a moment are gone: they are missing now, and what lacked before still does."""
    pieces: list[Interval] = []
    for entry in ledger:
        if entry.kind is Kind.MISSING or entry.start >= before:
            pieces.append(entry)
            continue
        gone = replace(entry, end=min(entry.end, before), kind=Kind.MISSING, source=None, reason=Reason.PRUNED)
        pieces.append(gone)
        if entry.end > before:
            pieces.append(replace(entry, start=before))
    return _joined(pieces)


def kept_since(pruned_until: int | None) -> int:
    """Since when prices are kept: whole days are pruned, so nothing comes back into the day the last of them was of."""
    return 0 if pruned_until is None else -(-pruned_until // DAY) * DAY


def runs(slots: Iterable[int], step: int) -> list[tuple[int, int]]:
    """Slots, in any order, as (start, end) of the stretches they fill without a hole."""
    found: list[tuple[int, int]] = []
    for slot in sorted(set(slots)):
        if found and found[-1][1] >= slot:
            found[-1] = (found[-1][0], slot + step)
        else:
            found.append((slot, slot + step))
    return found


@dataclass(frozen=True, slots=True)
class Outage:
    """From `start` to `end` (UNIX seconds; None while it lasts) no tick could come, for this reason."""

    start: float
    end: float | None
    reason: str


def explain(start: int, end: int, step: int, outages: Sequence[Outage], otherwise: str) -> list[Interval]:
    """A hole as missing intervals: each slot has the reason of the first outage that touched it, else `otherwise`.

    Cuts lie on multiples of `step`, where slots begin.
    """
    cuts = {start, end}
    for outage in outages:
        stop = float(end) if outage.end is None else outage.end
        if outage.start < end and stop > start:
            first = int(outage.start // step * step)
            last = int(-(-stop // step) * step)
            cuts |= {cut for cut in (first, last) if start < cut < end}
    edges = sorted(cuts)
    return _joined(
        Interval(a, b, Kind.MISSING, step, reason=_reason(a, b, outages, otherwise)) for a, b in pairwise(edges)
    )


def _reason(start: int, end: int, outages: Sequence[Outage], otherwise: str) -> str:
    for outage in outages:
        if outage.start < end and (outage.end is None or outage.end > start):
            return outage.reason
    return otherwise


@dataclass(frozen=True, slots=True)
class Coverage:
    """What is known of a range; complete when nothing of it is missing."""

    start: int
    end: int
    intervals: Sequence[Interval]

    @property
    def complete(self) -> bool:
        """Whether nothing of the range is missing; a range without a record is not complete."""
        return bool(self.intervals) and all(interval.kind is not Kind.MISSING for interval in self.intervals)


#: A slot is due this long after its end: the recorder waits for late ticks before it writes.
DUE_SECONDS = 5


def due(now: float, step: int) -> int:
    """The start of the first slot that may still be unwritten, UNIX seconds: the end of what can be complete."""
    return int(now - DUE_SECONDS) // step * step


def cover(ledger: Sequence[Interval], start: int, end: int) -> Coverage:
    """The ledger cut to a range; what lies before its first or after its last entry is missing, unrecorded."""
    if start >= end:
        return Coverage(start, end, ())
    step = ledger[-1].step if ledger else 1
    entries: list[Interval] = []

    def add(entry: Interval) -> None:
        if entries and entry.continues(entries[-1]):
            entries[-1] = replace(entries[-1], end=entry.end)
        else:
            entries.append(entry)

    position = start  # the ledger has no overlap, so one walk is enough: years of holes are thousands of entries
    for entry in ledger:
        if entry.end <= start or entry.start >= end:
            continue
        if entry.start > position:
            add(Interval(position, entry.start, Kind.MISSING, step, reason=Reason.UNRECORDED))
        add(replace(entry, start=max(entry.start, start), end=min(entry.end, end)))
        position = min(entry.end, end)
    if position < end:
        add(Interval(position, end, Kind.MISSING, step, reason=Reason.UNRECORDED))
    return Coverage(start, end, tuple(entries))
