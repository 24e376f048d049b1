"""The checker: compares what browsers received with each other and with the database, after a run.

As in Jepsen, nothing is assumed about the time of a fault. The ticks that all browsers received, each with its place
(epoch and sequence), determine what each browser must have received, and what each row must contain.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import parse_qs

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from .browsers import Browser, Closed, ConnectionEvent, Opened, Received, ReceivedTick

__all__ = ["Missing", "Row", "Truth", "history", "unexplained", "violations_of"]

Place = tuple[int, int]
CONFIGURED = frozenset({"btc_usd", "eth_usd"})


class Row(NamedTuple):
    """A stored price."""

    ticker: str
    slot: int
    price: str
    exchange_timestamp: int
    source: str
    epoch: int


class Missing(NamedTuple):
    """An interval of the ledger without prices, and its reason."""

    ticker: str
    start: int
    end: int
    reason: str


@dataclass
class Truth:
    """Every tick that any browser received, by its place."""

    ticks: dict[Place, ReceivedTick] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browsers: Iterable[Browser]) -> "Truth":
        """Collect the ticks of all browsers; two values for one place are a violation."""
        found = cls()
        for browser in browsers:
            for tick in browser.ticks():
                known = found.ticks.setdefault(tick.place, tick)
                if known[3:] != tick[3:]:
                    found.violations.append(f"{tick.place} is {known[3:]} for one browser and {tick[3:]} for another")
        found._places = sorted(found.ticks)
        found._begins = {}
        for epoch, sequence in reversed(found._places):
            found._begins[epoch] = sequence
        return found

    _places: list[Place] = field(default_factory=list)
    _begins: dict[int, int] = field(default_factory=dict)

    def between(self, tickers: frozenset[str], after: Place, before: Place) -> list[Place]:
        """Return the places of these tickers between two places, except superseded ones.

        A leader's sequence ends where the next one's begins. What it published beyond that reached only its own
        browsers.
        """
        within = self._places[bisect_right(self._places, after) : bisect_left(self._places, before)]
        return [place for place in within if self.ticks[place].ticker in tickers and not self._superseded(place)]

    def _superseded(self, place: Place) -> bool:
        later = [begin for epoch, begin in self._begins.items() if epoch > place[0]]
        return any(begin <= place[1] for begin in later)

    def last_of(self, ticker: str, slot: int, interval: int) -> ReceivedTick | None:
        """Return the last tick of the slot."""
        return max(self._of_slots(interval).get((ticker, slot), ()), key=lambda tick: tick.place, default=None)

    _slots: dict[tuple[str, int], list[ReceivedTick]] = field(default_factory=dict)

    def _of_slots(self, interval: int) -> dict[tuple[str, int], list[ReceivedTick]]:
        if not self._slots:
            for tick in self.ticks.values():
                second = tick.exchange_timestamp // 1000
                self._slots.setdefault((tick.ticker, second - second % interval), []).append(tick)
        return self._slots

    def of_row(self, row: Row, interval: int) -> list[ReceivedTick]:
        """Return the ticks of a row's slot and epoch, in order."""
        ticks = self._of_slots(interval).get((row.ticker, row.slot), [])
        of_epoch = [tick for tick in ticks if tick.epoch == row.epoch and not self._superseded(tick.place)]
        return sorted(of_epoch, key=lambda tick: tick.place)


def _place(event_id: str | None) -> Place | None:
    if not event_id:
        return None
    epoch, _, sequence = event_id.partition("-")
    return int(epoch), int(sequence)


def _order(received: Sequence[Received], name: str) -> list[str]:
    """Return places that do not increase; a new stream may repeat the newest tick, and after a gap any may follow."""
    found: list[str] = []
    last: Place = (0, 0)
    of_ticker: dict[str, Place] = {}
    joining = excused = False
    for one in received:
        match one:
            case Opened():
                joining, excused = True, False
            case ConnectionEvent():
                joining = joining and one.data["kind"] != "upstream"
                excused = excused or one.data["kind"] == "gap"
            case ReceivedTick():
                lowest = of_ticker.get(one.ticker, (0, 0))
                right = one.place >= lowest if joining else one.place > last
                if not right and not excused:
                    found.append(f"{name}: {one.ticker} {one.place} after {lowest if joining else last}")
                last = of_ticker[one.ticker] = one.place
                excused = excused and joining
            case Closed():
                pass
    return found


def _missed(received: Sequence[Received], tickers: frozenset[str], truth: Truth, name: str) -> list[str]:
    """Return the ticks that a browser with ``timer=0`` missed without a gap event in their place."""
    found: list[str] = []
    last: ReceivedTick | None = None
    gaps: list[Place | None] = []
    between: list[Received] = []
    for one in received:
        between.append(one)
        if isinstance(one, ConnectionEvent) and one.data["kind"] == "gap" and "ticker" not in one.data:
            gaps.append(_place(one.data["from"]))
        if not isinstance(one, ReceivedTick):
            continue
        if last is not None and one.place > last.place:
            missed = truth.between(tickers, last.place, one.place)
            if missed and not any(gap is None or last.place <= gap < one.place for gap in gaps):
                where = f"between {last.place} and {one.place}, with {between}"
                found.append(f"{name}: {len(missed)} ticks from {missed[0]} on missing {where}")
            gaps = [gap for gap in gaps if gap is not None and gap >= one.place]
        last, between = one, [one]
    return found


def violations_of(browsers: Sequence[Browser], truth: Truth) -> list[str]:
    """Return everything that a browser must not have received."""
    found = list(truth.violations)
    for number, browser in enumerate(browsers):
        name = f"browser {number}"
        query = parse_qs(browser.query)
        tickers = frozenset(query["channels"][0].split(",")) if "channels" in query else CONFIGURED
        found += [f"{name} is closed for good: {browser.dead}"] if browser.dead else []
        found += _order(browser.received, name)
        if query.get("timer") == ["0"]:
            found += _missed(browser.received, tickers, truth, name)
    return found


async def history(url: str) -> tuple[list[Row], list[Missing]]:
    """Return the stored rows and the missing intervals."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            found = await connection.execute(
                text("SELECT ticker, timestamp, price, exchange_timestamp, source, epoch FROM prices ORDER BY 1, 2")
            )
            rows = [Row(t, int(s), format(p, "f"), int(ms), str(source), int(e)) for t, s, p, ms, source, e in found]
            found = await connection.execute(
                text("SELECT ticker, start, \"end\", reason FROM ledger WHERE kind = 'missing' ORDER BY 1, 2")
            )
            return rows, [Missing(t, int(start), int(end), str(why)) for t, start, end, why in found]
    finally:
        await engine.dispose()


def unexplained(rows: Sequence[Row], missing: Sequence[Missing], truth: Truth, interval: int) -> list[str]:
    """Return rows with another price than the last received, decreasing epochs, and slots missing without a reason."""
    found: list[str] = []
    for row in rows:
        received = truth.of_row(row, interval)
        values = [(tick.price, tick.exchange_timestamp) for tick in received]
        if row.source in ("live", "backfill:heard") and (row.price, row.exchange_timestamp) in values[:-1]:
            found.append(f"{row} is not the last of its slot: {received[-1]}")
    for ticker in CONFIGURED:
        of_ticker = [row for row in rows if row.ticker == ticker]
        live = [row for row in of_ticker if row.source == "live"]
        found += [f"{b} after {a}" for a, b in pairwise(live) if b.epoch < a.epoch]
        for a, b in pairwise(of_ticker):
            absent = range(a.slot + interval, b.slot, interval)
            explained = [(one.start, one.end) for one in missing if one.ticker == ticker]
            found += [
                f"{ticker} {slot} is missing without a reason"
                for slot in absent
                if not any(start <= slot < end for start, end in explained)
            ]
    return found
