"""Whether every slot of a range is stored, and so how long a response about the range may be cached."""

from collections.abc import Callable
from dataclasses import dataclass

from ...history import candles_table, ledger
from ...history.candles import RESOLUTIONS
from ...history.intervals import due
from .caching import CachePolicy
from .dependencies import HistoryReader
from .time_range import TimeRange

__all__ = ["Completeness", "due_range", "is_settled"]

#: After this many seconds beyond the last slot that may still be written, a range no longer changes by itself.
SETTLED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Completeness:
    """Compares ranges with the record. ``interval``: seconds of a slot; ``wall`` returns UNIX seconds."""

    interval: int
    wall: Callable[[], float]

    def due_until(self) -> int:
        """The start of the first slot that may still be unwritten, UNIX seconds."""
        return due(self.wall(), self.interval)

    async def is_complete(
        self, ticker: str, within: TimeRange, reader: HistoryReader, resolution: str | None = None
    ) -> bool:
        """Whether no slot of the range that is due is missing.

        With a resolution its candles must exist as well: they may be kept for a shorter time than the prices.
        """
        part = due_range(within, await reader.read(ledger.span, ticker), step=self.interval, now=self.wall())
        if part is None:
            return False
        start, end = part
        if start >= end:
            return True
        if resolution is not None:
            first = await reader.read(candles_table.first, ticker, RESOLUTIONS[resolution])
            if first is None or first >= start + max(self.interval, RESOLUTIONS[resolution]):
                return False
        return (await reader.read(ledger.coverage, ticker, start, end)).complete

    def cache_policy(self, within: TimeRange, complete: bool) -> CachePolicy:
        """How long a response about the range may be cached."""
        if not is_settled(within, step=self.interval, now=self.wall()):
            return CachePolicy.NO_STORE
        return CachePolicy.IMMUTABLE if complete and within.start is not None else CachePolicy.REVALIDATE


def due_range(within: TimeRange, span: tuple[int, int] | None, *, step: int, now: float) -> tuple[int, int] | None:
    """The part of a range, in whole slots, that can be recorded by now; None when nothing was ever recorded.

    An open start becomes the start of the record. When start is not before end, nothing of the range is due.
    """
    if span is None:
        return None
    start = span[0] if within.start is None else -(-within.start // step) * step
    latest = due(now, step)
    return start, latest if within.end is None else min(-(-within.end // step) * step, latest)


def is_settled(within: TimeRange, *, step: int, now: float) -> bool:
    """Whether the range ended so long ago that no new slot falls into it."""
    return within.end is not None and within.end + SETTLED_SECONDS <= due(now, step)
