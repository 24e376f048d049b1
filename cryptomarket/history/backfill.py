"""Fills missing slots from the exchange's own history, and records why the rest cannot be filled.

Which chart to request and what it fills are pure functions; the class requests it and writes. It knows no HTTP: the
exchange is passed in.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from ..deribit.error_codes import METHOD_NOT_FOUND, error_code
from ..errors import DatabaseUnavailable, ExchangeError, ExchangeRefused
from ..model import Price, Source, is_index
from . import ledger
from .intervals import Interval, Kind, Reason, kept_since, runs
from .ledger import MissingInterval
from .recent_slots import RecentSlots
from .writer import HistoryWriter

__all__ = [
    "Backfill",
    "Chart",
    "Filled",
    "HistoryBar",
    "HistorySource",
    "fill",
    "fillable",
    "index_chart",
    "ranges_for",
    "slots_of",
]

log = structlog.get_logger(__name__)

#: How often missing slots are looked up when nothing wakes the backfill.
CHECK_SECONDS = 300.0
#: The pause after a failure, and before a chart that did not reach the last slots is requested again.
RETRY_SECONDS = 3.0
#: The ranges of get_index_chart_data with their lengths in seconds, the finest first.
RANGES = {"1h": 3_600, "1d": 86_400, "2d": 172_800, "1m": 2_592_000, "1y": 31_536_000, "all": 10**10}
#: The span of one request for bars of an instrument: a day of minutes.
BARS_SECONDS = 86_400
#: Volatility indices have a finer history of their own, by currency.
VOLATILITY = {"btcdvol_usdc": "BTC", "ethdvol_usdc": "ETH"}
#: Reasons that another request cannot change.
SETTLED = frozenset({Reason.COARSE, Reason.UNAVAILABLE, Reason.UNASKED, Reason.PRUNED})

Points = Sequence[tuple[int, Decimal]]


class HistoryBar(Protocol):
    """A bar of the exchange's chart: its start in UNIX ms and its last price."""

    @property
    def timestamp(self) -> int: ...
    @property
    def close(self) -> Decimal: ...


class HistorySource(Protocol):
    """The exchange's history. Every method raises ExchangeRefused or ExchangeUnreachable."""

    async def index_chart(self, index: str, chart_range: str, /) -> Points:
        """Average prices, oldest first, as (UNIX ms, price)."""

    async def bars(self, instrument: str, start: int, end: int, /, *, minutes: int) -> Sequence[HistoryBar]:
        """The bars that begin within [start, end), UNIX ms, oldest first."""

    async def volatility(self, currency: str, start: int, end: int, /) -> Points:
        """The volatility index by the minute within [start, end), as (the minute's last UNIX ms, its last value)."""


@dataclass(frozen=True, slots=True)
class Chart:
    """All points of the exchange between `start` and `end` (UNIX seconds), as (UNIX ms, price), oldest first."""

    source: str
    points: Points
    grain: float  # seconds between two points
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Filled:
    """What a chart fills of the missing slots of a ticker, as rows and as (start, end) of what it cannot fill.

    `pending`: some slots are too new for the chart and may come soon.
    """

    rows: Sequence[Price] = ()
    unavailable: Sequence[tuple[int, int]] = ()
    coarse: Sequence[tuple[int, int]] = ()
    pending: bool = False


def slots_of(missing: Iterable[Interval], step: int) -> list[int]:
    """Every slot of the intervals, oldest first."""
    return sorted({slot for gap in missing for slot in range(-(-gap.start // step) * step, gap.end, step)})


def index_chart(name: str, points: Points) -> Chart:
    """The chart of an index; its grain is the median distance of its points, since the exchange documents none."""
    distances = sorted((right[0] - left[0]) / 1000 for left, right in pairwise(points))
    grain = distances[len(distances) // 2] if distances else float("inf")
    start, end = (points[0][0] / 1000, points[-1][0] / 1000 + grain) if points else (0.0, 0.0)
    return Chart(f"{Source.BACKFILL}:index_chart:{name}", points, grain, start, end)


def fill(ticker: str, missing: Sequence[Interval], step: int, chart: Chart) -> Filled:
    """What a chart fills of the missing intervals: the last point in a slot is its price.

    A chart coarser than a slot fills nothing, nor would the coarser charts of the time before it. A slot between the
    chart's start and end without a point is unavailable.
    """
    slots = slots_of(missing, step)
    if chart.grain > step:
        return Filled(coarse=runs((slot for slot in slots if slot + step <= chart.end), step))
    last = {point[0] // 1000 - point[0] // 1000 % step: point for point in chart.points}
    covered = [slot for slot in slots if slot + step <= chart.end]
    rows = [Price(ticker, slot, last[slot][1], last[slot][0], chart.source) for slot in covered if slot in last]
    unavailable = runs((slot for slot in covered if slot not in last and slot >= chart.start), step)
    return Filled(rows, unavailable, (), len(covered) < len(slots))


def ranges_for(missing: Sequence[Interval], now: float) -> list[str]:
    """The ranges of the index chart to request, finest first; a coarser one only for what is older."""
    wanted = []
    newer = now
    for name, seconds in RANGES.items():
        older = now - seconds
        if any(gap.start < newer and gap.end > older for gap in missing):
            wanted.append(name)
        newer = older
    return wanted


def fillable(missing: Sequence[MissingInterval]) -> dict[str, list[Interval]]:
    """By ticker, the intervals that may still be filled: without a settled reason, and after what was pruned."""
    kept = _kept_since(missing)
    found: dict[str, list[Interval]] = {}
    for gap in missing:
        interval, since = gap.interval, kept.get(gap.ticker, 0)
        if interval.reason not in SETTLED and interval.end > since:
            found.setdefault(gap.ticker, []).append(replace(interval, start=max(interval.start, since)))
    return found


def _kept_since(missing: Sequence[MissingInterval]) -> dict[str, int]:
    """By ticker, the first moment whose prices are kept, where older ones were pruned."""
    since: dict[str, int] = {}
    for gap in missing:
        if gap.interval.reason == Reason.PRUNED:
            since[gap.ticker] = max(since.get(gap.ticker, 0), kept_since(gap.interval.end))
    return since


class Backfill:
    """Fills missing slots behind live traffic: at its start, after `wake()`, and every CHECK_SECONDS.

    `recent_slots` are filled in first, because they are exact.
    """

    def __init__(
        self,
        writer: HistoryWriter,
        source: HistorySource,
        *,
        recent_slots: RecentSlots | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._database = writer.database
        self._step = writer.interval
        self._source = source
        self._recent_slots = recent_slots or RecentSlots(writer.interval)
        self._wall = wall
        self._wake = anyio.Event()
        self._failing = False
        self._pending = False

    def wake(self) -> None:
        """Look for missing slots now."""
        self._wake.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fill what is missing until cancelled."""
        task_status.started()
        corrected = False
        while True:
            self._wake = anyio.Event()
            try:
                if not corrected:
                    await self._writer.correct(self._recent_slots.all())
                    corrected = True
                await self.fill_all()
                self._on_success()
            except (ExchangeError, DatabaseUnavailable) as exc:
                self._on_failure(exc)
            if self._failing or self._pending:
                await anyio.sleep(RETRY_SECONDS)
                continue
            with anyio.move_on_after(CHECK_SECONDS):
                await self._wake.wait()

    async def fill_all(self) -> int:
        """Fill the missing slots of all tickers; returns how many were filled.

        A refusal of one ticker is raised after the others were filled.
        """
        self._pending = False
        of_ticker = fillable(await self._database.read(ledger.missing))
        filled = 0
        refused: ExchangeRefused | None = None
        for ticker, missing in of_ticker.items():
            try:
                filled += await self.fill_ticker(ticker, missing)
            except ExchangeRefused as exc:
                refused = exc
        if filled:
            log.info("missing slots filled", slots=filled, tickers=len(of_ticker))
        if refused:
            raise refused
        return filled

    async def fill_range(
        self, ticker: str, start: int, end: int, on_progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """Fill the missing slots in [start, end), UNIX seconds, whatever their reason; returns how many were filled.

        `on_progress` is called with the seconds of the range that are done.
        """
        step = self._step
        start, end = start - start % step, min(end, int(self._wall()) // step * step)
        kept = await self._database.read(ledger.prunings_end, ticker)
        filled = 0
        for day in range(max(start, kept), end, BARS_SECONDS):
            day_end = min(day + BARS_SECONDS, end)
            coverage = await self._database.read(ledger.coverage, ticker, day, day_end)
            missing = [interval for interval in coverage.intervals if interval.kind is Kind.MISSING]
            if missing:
                filled += await self.fill_ticker(ticker, missing)
            on_progress(day_end - start)
        return filled

    async def fill_ticker(self, ticker: str, missing: Sequence[Interval]) -> int:
        """Fill the missing intervals of one ticker; returns how many slots were filled."""
        recent = self._recent_slots.prices(ticker)
        heard = [price for price in recent if any(gap.start <= price.timestamp < gap.end for gap in missing)]
        if heard:
            await self._writer.insert_missing(heard)
            missing = _without(missing, Filled(heard), self._step)
        return len(heard) + (await self._fill_from_exchange(ticker, missing) if missing else 0)

    async def _fill_from_exchange(self, ticker: str, missing: Sequence[Interval]) -> int:
        by_chart = is_index(ticker) and ticker not in VOLATILITY
        try:
            return await (self._fill_index if by_chart else self._fill_minutes)(ticker, missing)
        except ExchangeRefused as exc:
            # Every door has the charts of indices, but perhaps no bars: a host without charts is the wrong one.
            if not error_code(exc.code).no_history or (by_chart and exc.code == METHOD_NOT_FOUND):
                raise
            await self._mark(ticker, ((gap.start, gap.end) for gap in missing), Reason.UNAVAILABLE)
            return 0

    async def _fill_index(self, ticker: str, missing: Sequence[Interval]) -> int:
        filled = 0
        rest = list(missing)
        for name in ranges_for(missing, self._wall()):
            chart = index_chart(name, await self._source.index_chart(ticker, name))
            found = fill(ticker, rest, self._step, chart)
            filled += await self._write(ticker, found)
            rest = _without(rest, found, self._step)
            if not rest or found.coarse:
                break
        return filled

    async def _fill_minutes(self, ticker: str, missing: Sequence[Interval]) -> int:
        """Fill from what the exchange keeps by the minute, day by day: bars of instruments, the volatility index."""
        if self._step % 60:
            await self._mark(ticker, ((gap.start, gap.end) for gap in missing), Reason.COARSE)
            return 0
        filled = 0
        for start, end in _windows(missing):
            now = int(self._wall()) // 60 * 60  # the bar of the open minute may still change
            points = [point for point in await self._minutes(ticker, start, end) if point[0] < now * 1000]
            source = f"{Source.BACKFILL}:{'volatility' if ticker in VOLATILITY else 'chart'}"
            within = [
                replace(gap, start=max(gap.start, start), end=min(gap.end, end))
                for gap in missing
                if gap.start < end and gap.end > start
            ]
            found = fill(ticker, within, self._step, Chart(source, points, 60, start, now))
            filled += await self._write(ticker, found)
        return filled

    async def _minutes(self, ticker: str, start: int, end: int) -> Points:
        if ticker in VOLATILITY:
            return await self._source.volatility(VOLATILITY[ticker], start * 1000, end * 1000)
        bars = await self._source.bars(ticker, start * 1000, end * 1000, minutes=1)
        return [(bar.timestamp + 59_999, bar.close) for bar in bars]  # the close belongs to the minute's last moment

    async def _write(self, ticker: str, found: Filled) -> int:
        self._pending = self._pending or found.pending
        await self._writer.insert_missing(found.rows)
        await self._mark(ticker, found.unavailable, Reason.UNAVAILABLE)
        await self._mark(ticker, found.coarse, Reason.COARSE)
        return len(found.rows)

    async def _mark(self, ticker: str, spans: Iterable[tuple[int, int]], reason: Reason) -> None:
        for start, end in spans:
            await self._writer.mark_missing(ticker, start, end, reason)

    def _on_failure(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning("backfill failing, retrying", error=str(error))

    def _on_success(self) -> None:
        if self._failing:
            self._failing = False
            log.info("backfill working again")


def _without(missing: Sequence[Interval], found: Filled, step: int) -> list[Interval]:
    """The missing intervals without the slots that were filled or marked."""
    settled = {row.timestamp for row in found.rows}
    settled |= {slot for start, end in (*found.unavailable, *found.coarse) for slot in range(start, end, step)}
    left = (slot for slot in slots_of(missing, step) if slot not in settled)
    return [Interval(start, end, Kind.MISSING, step) for start, end in runs(left, step)]


def _windows(missing: Sequence[Interval]) -> list[tuple[int, int]]:
    """The missing intervals as spans of at most a day, one for each request."""
    return [
        (start, min(start + BARS_SECONDS, gap.end))
        for gap in missing
        for start in range(gap.start, gap.end, BARS_SECONDS)
    ]
