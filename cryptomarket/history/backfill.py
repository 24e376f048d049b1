"""Fills holes from the exchange's own history, where its grain allows, and says of the rest why it cannot.

What to ask and what an answer fills are plain functions; the coroutine asks. It knows no HTTP: the calls are passed in.
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

from ..deribit.error_codes import error_code
from ..errors import DatabaseUnavailable, ExchangeError, ExchangeRefused
from ..model import Price, Source, is_index
from .intervals import Coverage, Interval, Kind, Reason, kept_since, runs
from .reading import Hole
from .recent_slots import RecentSlots

__all__ = [
    "Backfill",
    "BarLike",
    "Chart",
    "Filled",
    "HistorySource",
    "HoleStore",
    "fill",
    "fillable",
    "index_chart",
    "ranges_for",
    "slots_of",
]

log = structlog.get_logger(__name__)

#: How often holes are looked for when nobody says that there are new ones.
LOOK_SECONDS = 300.0
#: How soon the exchange is asked again after a failure, or for what its charts did not reach yet.
AGAIN_SECONDS = 3.0
#: The ranges of get_index_chart_data with their lengths in seconds, the finest first.
RANGES = {"1h": 3_600, "1d": 86_400, "2d": 172_800, "1m": 2_592_000, "1y": 31_536_000, "all": 10**10}
#: Bars of instruments asked for at once: a day of minutes.
BARS_SECONDS = 86_400
#: Indices of volatility have a history of their own, by currency, and a finer one.
VOLATILITY = {"btcdvol_usdc": "BTC", "ethdvol_usdc": "ETH"}
#: What will not come by asking again: it was asked, or nobody wants it.
SETTLED = frozenset({Reason.COARSE, Reason.UNAVAILABLE, Reason.UNASKED, Reason.PRUNED})

Points = Sequence[tuple[int, Decimal]]


class BarLike(Protocol):
    """A bar of the exchange's chart: where it begins, UNIX ms, and its last price."""

    @property
    def timestamp(self) -> int: ...
    @property
    def close(self) -> Decimal: ...


class HistorySource(Protocol):
    """The exchange's history: `deribit.Api` is one."""

    async def index_chart(self, index: str, chart_range: str, /) -> Points:
        """Average prices, oldest first, as (UNIX ms, price)."""

    async def bars(self, instrument: str, start: int, end: int, /, *, minutes: int) -> Sequence[BarLike]:
        """The bars that begin within [start, end), UNIX ms, oldest first."""

    async def volatility(self, currency: str, start: int, end: int, /) -> Points:
        """The volatility index by the minute, within [start, end), as (the minute's last UNIX ms, its last value)."""


class HoleStore(Protocol):
    """Where holes are found and filled: `Store` is one."""

    interval: int

    async def holes(self, since: int) -> Sequence[Hole]: ...
    async def coverage(self, ticker: str, start: int, end: int) -> Coverage: ...
    async def insert_missing(self, prices: Iterable[Price]) -> None: ...
    async def correct(self, prices: Sequence[Price]) -> None: ...
    async def mark_missing(self, ticker: str, start: int, end: int, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Chart:
    """What the exchange answered: (UNIX ms, price) oldest first, within `start` and `end` which it knows all about."""

    source: str
    points: Points
    grain: float  # seconds between two points
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Filled:
    """What a chart does to the holes of a ticker; `pending` is too new for it and may come soon."""

    rows: Sequence[Price] = ()
    unavailable: Sequence[tuple[int, int]] = ()
    coarse: Sequence[tuple[int, int]] = ()
    pending: bool = False


def slots_of(holes: Iterable[Interval], step: int) -> list[int]:
    """Every slot of the holes, oldest first."""
    return sorted({slot for hole in holes for slot in range(-(-hole.start // step) * step, hole.end, step)})


def index_chart(name: str, points: Points) -> Chart:
    """The chart of an index; its grain is how far most of its points are apart, since no document promises it."""
    distances = sorted((right[0] - left[0]) / 1000 for left, right in pairwise(points))
    grain = distances[len(distances) // 2] if distances else float("inf")
    start, end = (points[0][0] / 1000, points[-1][0] / 1000 + grain) if points else (0.0, 0.0)
    return Chart(f"{Source.BACKFILL}:index_chart:{name}", points, grain, start, end)


def fill(ticker: str, holes: Sequence[Interval], step: int, chart: Chart) -> Filled:
    """What a chart fills of the holes: the last point of each missing slot is its price.

    A chart coarser than a slot fills nothing, nor would any coarser one of the time before it. A slot the chart knows
    all about, and has no point in, is not available.
    """
    slots = slots_of(holes, step)
    if chart.grain > step:
        return Filled(coarse=runs((slot for slot in slots if slot + step <= chart.end), step))
    last = {point[0] // 1000 - point[0] // 1000 % step: point for point in chart.points}
    known = [slot for slot in slots if slot + step <= chart.end]
    rows = [Price(ticker, slot, last[slot][1], last[slot][0], chart.source) for slot in known if slot in last]
    lacking = runs((slot for slot in known if slot not in last and slot >= chart.start), step)
    return Filled(rows, lacking, (), len(known) < len(slots))


def ranges_for(holes: Sequence[Interval], now: float) -> list[str]:
    """The ranges of the index chart that reach the holes, finest first; a coarser one only for what is older."""
    wanted = []
    newer = now
    for name, seconds in RANGES.items():
        older = now - seconds
        if any(hole.start < newer and hole.end > older for hole in holes):
            wanted.append(name)
        newer = older
    return wanted


def fillable(holes: Sequence[Hole]) -> dict[str, list[Interval]]:
    """By ticker, the holes that may still be filled: none that is settled, nothing before what was pruned."""
    kept = _since(holes)
    found: dict[str, list[Interval]] = {}
    for hole in holes:
        interval, since = hole.interval, kept.get(hole.ticker, 0)
        if interval.reason not in SETTLED and interval.end > since:
            found.setdefault(hole.ticker, []).append(replace(interval, start=max(interval.start, since)))
    return found


def _since(holes: Sequence[Hole]) -> dict[str, int]:
    """Since when the prices of a ticker are kept, where older ones were pruned."""
    since: dict[str, int] = {}
    for hole in holes:
        if hole.interval.reason == Reason.PRUNED:
            since[hole.ticker] = max(since.get(hole.ticker, 0), kept_since(hole.interval.end))
    return since


class Backfill:
    """Fills holes behind live traffic: on start, whenever `look()` is called, and now and then.

    What the node itself remembers comes first: it is exact.
    """

    def __init__(
        self,
        store: HoleStore,
        past: HistorySource,
        *,
        memory: RecentSlots | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._past = past
        self._memory = memory
        self._wall = wall
        self._look = anyio.Event()
        self._failing = False
        self._pending = False

    def look(self) -> None:
        """There may be a new hole."""
        self._look.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Fill what is missing until cancelled."""
        task_status.started()
        corrected = False
        while True:
            self._look = anyio.Event()
            try:
                if self._memory and not corrected:
                    await self._store.correct(self._memory.all())
                    corrected = True
                await self.fill_all()
                self._say_well()
            except (ExchangeError, DatabaseUnavailable) as exc:
                self._say_failing(exc)
            if self._failing or self._pending:
                await anyio.sleep(AGAIN_SECONDS)
                continue
            with anyio.move_on_after(LOOK_SECONDS):
                await self._look.wait()

    async def fill_all(self) -> int:
        """Fill the holes of all tickers that can be filled; returns how many slots were."""
        self._pending = False
        of_ticker = fillable(await self._store.holes(0))
        filled = 0
        refused: ExchangeRefused | None = None
        for ticker, holes in of_ticker.items():
            try:
                filled += await self.fill_ticker(ticker, holes)
            except ExchangeRefused as exc:  # of this ticker, not of the next
                refused = exc
        if filled:
            log.info("holes filled", slots=filled, tickers=len(of_ticker))
        if refused:
            raise refused
        return filled

    async def fill_range(
        self, ticker: str, start: int, end: int, progress: Callable[[int], None] = lambda _: None
    ) -> int:
        """Fill what is missing of a range, also what could not be filled before; returns how many slots were."""
        step = self._store.interval
        start, end = start - start % step, min(end, int(self._wall()) // step * step)
        since = _since(await self._store.holes(0)).get(ticker, 0)
        filled = 0
        for edge in range(max(start, since), end, BARS_SECONDS):
            coverage = await self._store.coverage(ticker, edge, min(edge + BARS_SECONDS, end))
            holes = [interval for interval in coverage.intervals if interval.kind is Kind.MISSING]
            if holes:
                filled += await self.fill_ticker(ticker, holes)
            progress(min(edge + BARS_SECONDS, end) - start)
        return filled

    async def fill_ticker(self, ticker: str, holes: Sequence[Interval]) -> int:
        """Fill the holes of one ticker; returns how many slots were."""
        remembered = self._memory.prices(ticker).values() if self._memory else ()
        heard = [price for price in remembered if any(hole.start <= price.timestamp < hole.end for hole in holes)]
        if not heard:
            return await self._fill_from_exchange(ticker, holes)
        await self._store.insert_missing(heard)
        rest = _without(holes, Filled(heard), self._store.interval)
        return len(heard) + (await self._fill_from_exchange(ticker, rest) if rest else 0)

    async def _fill_from_exchange(self, ticker: str, holes: Sequence[Interval]) -> int:
        try:
            by_chart = is_index(ticker) and ticker not in VOLATILITY
            return await (self._fill_index if by_chart else self._fill_minutes)(ticker, holes)
        except ExchangeRefused as exc:
            if not error_code(exc.code).no_history:
                raise
            for hole in holes:
                await self._store.mark_missing(ticker, hole.start, hole.end, Reason.UNAVAILABLE)
            return 0

    async def _fill_index(self, ticker: str, holes: Sequence[Interval]) -> int:
        filled = 0
        rest = list(holes)
        for name in ranges_for(holes, self._wall()):
            chart = index_chart(name, await self._past.index_chart(ticker, name))
            found = fill(ticker, rest, self._store.interval, chart)
            filled += await self._keep(ticker, found)
            rest = _without(rest, found, self._store.interval)
            if not rest or found.coarse:
                break
        return filled

    async def _fill_minutes(self, ticker: str, holes: Sequence[Interval]) -> int:
        """Fill from what the exchange keeps by the minute, in windows: bars of instruments, the volatility index."""
        step = self._store.interval
        if step % 60:
            for hole in holes:
                await self._store.mark_missing(ticker, hole.start, hole.end, Reason.COARSE)
            return 0
        filled = 0
        for start, end in _windows(holes):
            now = int(self._wall()) // 60 * 60  # the bar of this minute may still change
            points = [point for point in await self._minutes(ticker, start, end) if point[0] < now * 1000]
            source = f"{Source.BACKFILL}:{'volatility' if ticker in VOLATILITY else 'chart'}"
            within = [
                replace(hole, start=max(hole.start, start), end=min(hole.end, end))
                for hole in holes
                if hole.start < end and hole.end > start
            ]
            found = fill(ticker, within, step, Chart(source, points, 60, start, now))
            filled += await self._keep(ticker, found)
        return filled

    async def _minutes(self, ticker: str, start: int, end: int) -> Points:
        if ticker in VOLATILITY:
            return await self._past.volatility(VOLATILITY[ticker], start * 1000, end * 1000)
        bars = await self._past.bars(ticker, start * 1000, end * 1000, minutes=1)
        # A bar's last price is of its last moment.
        return [(bar.timestamp + 59_999, bar.close) for bar in bars]

    async def _keep(self, ticker: str, found: Filled) -> int:
        self._pending = self._pending or found.pending
        await self._store.insert_missing(found.rows)
        for reason, stretches in ((Reason.UNAVAILABLE, found.unavailable), (Reason.COARSE, found.coarse)):
            for start, end in stretches:
                await self._store.mark_missing(ticker, start, end, reason)
        return len(found.rows)

    def _say_failing(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            log.warning("holes cannot be filled now, trying again", error=str(error))

    def _say_well(self) -> None:
        if self._failing:
            self._failing = False
            log.info("holes can be filled again")


def _without(holes: Sequence[Interval], found: Filled, step: int) -> list[Interval]:
    """The holes less what was settled."""
    settled = {row.timestamp for row in found.rows}
    settled |= {slot for start, end in (*found.unavailable, *found.coarse) for slot in range(start, end, step)}
    left = (slot for slot in slots_of(holes, step) if slot not in settled)
    return [Interval(start, end, Kind.MISSING, step) for start, end in runs(left, step)]


def _windows(holes: Sequence[Interval]) -> list[tuple[int, int]]:
    """The holes as stretches of at most a day, so that each is one request."""
    return [
        (start, min(start + BARS_SECONDS, hole.end))
        for hole in holes
        for start in range(hole.start, hole.end, BARS_SECONDS)
    ]
