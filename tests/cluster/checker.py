"""The checker: what browsers heard and what the database holds, against each other, after the fact.

In the manner of Jepsen: nothing is assumed of the moment at which a fault struck. All browsers together know which
ticks there were, each under its place; from that follows what each of them was owed, and what each row must say.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import parse_qs

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from .browsers import Browser, Closed, Heard, Opened, Said, TickHeard

__all__ = ["Missing", "Row", "Truth", "faults_of", "history", "unexplained"]

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
    """An interval of the ledger without prices, and why."""

    ticker: str
    start: int
    end: int
    reason: str


@dataclass
class Truth:
    """Every tick that anybody heard, by its place."""

    ticks: dict[Place, TickHeard] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browsers: Iterable[Browser]) -> "Truth":
        """What all of them heard; one place with two values is a fault."""
        found = cls()
        for browser in browsers:
            for tick in browser.ticks():
                known = found.ticks.setdefault(tick.place, tick)
                if known[3:] != tick[3:]:
                    found.faults.append(f"{tick.place} is {known[3:]} for one and {tick[3:]} for another")
        found._places = sorted(found.ticks)
        found._begins = {}
        for epoch, sequence in reversed(found._places):
            found._begins[epoch] = sequence
        return found

    _places: list[Place] = field(default_factory=list)
    _begins: dict[int, int] = field(default_factory=dict)

    def between(self, tickers: frozenset[str], after: Place, before: Place) -> list[Place]:
        """The places of the tickers between two.

        Where the next leader's sequence begins, the last one's ends: what the last one said beyond that reached nobody
        but its own browsers.
        """
        within = self._places[bisect_right(self._places, after) : bisect_left(self._places, before)]
        return [place for place in within if self.ticks[place].ticker in tickers and not self._superseded(place)]

    def _superseded(self, place: Place) -> bool:
        later = [begin for epoch, begin in self._begins.items() if epoch > place[0]]
        return any(begin <= place[1] for begin in later)

    def last_of(self, ticker: str, slot: int, interval: int) -> TickHeard | None:
        """The last tick of the slot."""
        return max(self._of_slots(interval).get((ticker, slot), ()), key=lambda tick: tick.place, default=None)

    _slots: dict[tuple[str, int], list[TickHeard]] = field(default_factory=dict)

    def _of_slots(self, interval: int) -> dict[tuple[str, int], list[TickHeard]]:
        if not self._slots:
            for tick in self.ticks.values():
                second = tick.exchange_timestamp // 1000
                self._slots.setdefault((tick.ticker, second - second % interval), []).append(tick)
        return self._slots

    def of_row(self, row: Row, interval: int) -> list[TickHeard]:
        """The ticks of a row's slot that were said in its epoch, in order."""
        ticks = self._of_slots(interval).get((row.ticker, row.slot), [])
        of_epoch = [tick for tick in ticks if tick.epoch == row.epoch and not self._superseded(tick.place)]
        return sorted(of_epoch, key=lambda tick: tick.place)


def _place(event_id: str | None) -> Place | None:
    if not event_id:
        return None
    epoch, _, sequence = event_id.partition("-")
    return int(epoch), int(sequence)


def _order(heard: Sequence[Heard], name: str) -> list[str]:
    """Places go up; where a stream begins, what a ticker had may be repeated, and after a gap older ones may follow."""
    found: list[str] = []
    last: Place = (0, 0)
    of_ticker: dict[str, Place] = {}
    joining = excused = False
    for one in heard:
        match one:
            case Opened():
                joining, excused = True, False
            case Said():
                joining = joining and one.data["kind"] != "upstream"
                excused = excused or one.data["kind"] == "gap"
            case TickHeard():
                lowest = of_ticker.get(one.ticker, (0, 0))
                right = one.place >= lowest if joining else one.place > last
                if not right and not excused:
                    found.append(f"{name}: {one.ticker} {one.place} after {lowest if joining else last}")
                last = of_ticker[one.ticker] = one.place
                excused = excused and joining
            case Closed():
                pass
    return found


def _owed(heard: Sequence[Heard], tickers: frozenset[str], truth: Truth, name: str) -> list[str]:
    """Of every tick that somebody heard, whoever asked for each one got it, or was told of a gap there."""
    found: list[str] = []
    last: TickHeard | None = None
    gaps: list[Place | None] = []
    between: list[Heard] = []
    for one in heard:
        between.append(one)
        if isinstance(one, Said) and one.data["kind"] == "gap" and "ticker" not in one.data:
            gaps.append(_place(one.data["from"]))
        if not isinstance(one, TickHeard):
            continue
        if last is not None and one.place > last.place:
            missed = truth.between(tickers, last.place, one.place)
            if missed and not any(gap is None or last.place <= gap < one.place for gap in gaps):
                where = f"between {last.place} and {one.place}, with {between}"
                found.append(f"{name}: {len(missed)} ticks from {missed[0]} on missing {where}")
            gaps = [gap for gap in gaps if gap is not None and gap >= one.place]
        last, between = one, [one]
    return found


def faults_of(browsers: Sequence[Browser], truth: Truth) -> list[str]:
    """Everything that a browser must not have seen."""
    found = list(truth.faults)
    for number, browser in enumerate(browsers):
        name = f"browser {number}"
        asked = parse_qs(browser.query)
        tickers = frozenset(asked["channels"][0].split(",")) if "channels" in asked else CONFIGURED
        found += [f"{name} is closed for good: {browser.dead}"] if browser.dead else []
        found += _order(browser.heard, name)
        if asked.get("timer") == ["0"]:
            found += _owed(browser.heard, tickers, truth, name)
    return found


async def history(url: str) -> tuple[list[Row], list[Missing]]:
    """The rows, and the missing intervals."""
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
    """Rows that say another price than was heard last, epochs that go back, slots that lack without a reason."""
    found: list[str] = []
    for row in rows:
        heard = truth.of_row(row, interval)
        values = [(tick.price, tick.exchange_timestamp) for tick in heard]
        if row.source in ("live", "backfill:heard") and (row.price, row.exchange_timestamp) in values[:-1]:
            found.append(f"{row} is not the last of its slot: {heard[-1]}")
    for ticker in CONFIGURED:
        of_ticker = [row for row in rows if row.ticker == ticker]
        live = [row for row in of_ticker if row.source == "live"]
        found += [f"{b} after {a}" for a, b in pairwise(live) if b.epoch < a.epoch]
        for a, b in pairwise(of_ticker):
            hole = range(a.slot + interval, b.slot, interval)
            said = [(one.start, one.end) for one in missing if one.ticker == ticker]
            found += [
                f"{ticker} {slot} is missing without a reason"
                for slot in hole
                if not any(start <= slot < end for start, end in said)
            ]
    return found
