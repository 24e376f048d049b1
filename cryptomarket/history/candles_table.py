"""The tables of bars and candles: their statements and the functions that run them, each on a given connection.

Bars are what the ticks of one minute did; candles are rolled up from bars and prices, and longer candles from shorter.
How they are folded is in `candles.py`. What reads comes first, what writes second.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    String,
    Text,
    bindparam,
    cast,
    delete,
    func,
    literal,
    select,
)

from ..database.dialects import FormattedText, replace_rows
from ..database.schema import bars
from ..database.schema import candles as table
from ..model import Price
from . import prices
from .candles import MINUTE, RESOLUTIONS, Candle, CandleText, MinuteBar, clusters, combine, fold, minute
from .intervals import Interval, Kind, Reason
from .ledger import coverage
from .pages import Order, PageQuery, TextPage

__all__ = [
    "add_pruned_minutes",
    "delete_bars_before",
    "delete_oldest",
    "first",
    "last",
    "page",
    "roll_up",
    "text_page",
    "write_bars",
]

T = TypeVar("T")

DAY = 86_400
#: Minutes further apart than this are read by separate queries.
APART_SECONDS = 3_600
#: Candles that one transaction deletes, so that a first pruning neither times out nor holds the writer's lock.
DELETED_AT_ONCE = 5_000

#: The first characters of a candle in JSON after the opening brace.
_BEFORE_TIMESTAMP = '"timestamp":'

_low = bindparam("low", type_=BigInteger)
_high = bindparam("high", type_=BigInteger)
_limit = bindparam("limit", type_=BigInteger)
_of_series = (
    table.c.ticker == bindparam("ticker", type_=String),
    table.c.resolution == bindparam("resolution", type_=Integer),
)


def page(connection: Connection, resolution: str, query: PageQuery) -> list[CandleText]:
    """The candles that begin in the query's range; a candle with missing time in it is partial."""
    seconds = RESOLUTIONS[resolution]
    parameters = {**query.parameters(), "resolution": seconds}
    found = [CandleText(*row) for row in connection.execute(_page_statement(query.order), parameters).all()]
    if not found:
        return found
    oldest, newest = sorted((found[0].timestamp, found[-1].timestamp))
    missing = _missing(connection, query.ticker, oldest, newest + seconds)
    partial = {*_partial(found, _start, missing, seconds)}
    return [replace(candle, partial=True) if place in partial else candle for place, candle in enumerate(found)]


def text_page(connection: Connection, resolution: str, query: PageQuery) -> TextPage:
    """The same candles as JSON. The database writes it; the marks of partial candles are added here."""
    seconds = RESOLUTIONS[resolution]
    parameters = {**query.parameters(), "resolution": seconds}
    text, count, oldest, newest, more = connection.execute(_text_page_statement(query.order), parameters).one()
    if not count:
        return TextPage("", 0)
    missing = _missing(connection, query.ticker, oldest, newest + seconds)
    if missing:
        text = _marked(text, missing, seconds)
    return TextPage(text, count, (newest if query.order == "asc" else oldest) if more else None)


def _marked(text: str, missing: Sequence[Interval], seconds: int) -> str:
    """The JSON of candles with the partial ones marked."""
    rows = text[1:-1].split("},{")
    for place in _partial(rows, _start_in_json, missing, seconds):
        rows[place] += ',"partial":true'
    return f"{{{'},{'.join(rows)}}}"


def _start_in_json(row: str) -> int:
    return int(row[len(_BEFORE_TIMESTAMP) : row.index(",")])


def _start(candle: CandleText) -> int:
    return candle.timestamp


def _partial(
    candles: Sequence[T], start: Callable[[T], int], missing: Sequence[Interval], seconds: int
) -> Iterator[int]:
    """The indexes of the candles with missing time in them; the candles may be in ascending or descending order.

    The work depends on how many intervals there are, not on how many candles or how long an interval is.
    """
    size, descending = len(candles), start(candles[0]) > start(candles[-1])
    ascending = candles[::-1] if descending else candles
    after = 0  # a candle may contain several intervals
    for interval in missing:
        first = max(after, bisect_right(ascending, interval.start - seconds, lo=after, key=start))
        after = bisect_left(ascending, interval.end, lo=first, key=start)
        yield from (size - 1 - place if descending else place for place in range(first, after))


def first(connection: Connection, ticker: str, resolution: int) -> int | None:
    """The start of the oldest candle of a resolution in seconds; older candles may have been pruned."""
    return connection.execute(_edge_statement("asc"), {"ticker": ticker, "resolution": resolution}).scalar()


def last(connection: Connection, ticker: str, resolution: int) -> int | None:
    """The start of the newest candle of a resolution in seconds."""
    return connection.execute(_edge_statement("desc"), {"ticker": ticker, "resolution": resolution}).scalar()


def _missing(connection: Connection, ticker: str, start: int, end: int) -> list[Interval]:
    """The missing intervals that make a candle partial. Pruned ones do not: candles were computed from their prices."""
    known = coverage(connection, ticker, start, end).intervals
    return [i for i in known if i.kind is Kind.MISSING and i.reason != Reason.PRUNED]


@cache
def _edge_statement(order: Order) -> Select[Any]:
    return select((func.min if order == "asc" else func.max)(table.c.timestamp)).where(*_of_series)


@cache
def _page_statement(order: Order) -> Select[Any]:
    """(timestamp, open, high, low, close, count) with prices as text; executed with query and resolution."""
    c = table.c
    values = [cast(c[name], Text) for name in ("open", "high", "low", "close")]
    wanted = select(c.timestamp, *values, c.count).where(*_of_series, c.timestamp >= _low, c.timestamp < _high)
    return wanted.order_by(c.timestamp if order == "asc" else c.timestamp.desc()).limit(_limit)


@cache
def _text_page_statement(order: Order) -> Select[Any]:
    """(members of a JSON array, rows, oldest and newest timestamp, whether more follow)."""
    row = _page_statement(order).subquery()
    pattern = "{" + _BEFORE_TIMESTAMP + '%s,"open":%s,"high":%s,"low":%s,"close":%s,"count":%s}'
    text = func.aggregate_strings(FormattedText(pattern, *row.c), ",").label("text")
    edges = (func.min(row.c.timestamp).label("oldest"), func.max(row.c.timestamp).label("newest"))
    whole = select(text, func.count().label("count"), *edges).subquery()
    c = table.c
    beyond = (c.timestamp > whole.c.newest, c.timestamp < _high) if order == "asc" else (c.timestamp < whole.c.oldest,)
    more = select(literal(1)).where(*_of_series, c.timestamp >= _low, *beyond).exists()
    return select(*whole.c, more)


def _bars_between(connection: Connection, tickers: Sequence[str], start: int, end: int) -> list[MinuteBar]:
    c = bars.c
    wanted = select(bars).where(c.ticker.in_(tickers), c.timestamp >= start, c.timestamp < end)
    return [MinuteBar(*row) for row in connection.execute(wanted)]


def write_bars(connection: Connection, new: Sequence[MinuteBar]) -> None:
    """Write bars over their own earlier state."""
    connection.execute(replace_rows(connection.dialect.name, bars), [asdict(bar) for bar in new])


def roll_up(connection: Connection, minutes: Mapping[str, set[int]], step: int) -> None:
    """Compute the candles of these minutes (by ticker) again, and every longer candle that contains them.

    `step` is the interval of the stored prices in seconds.
    """
    if not any(minutes.values()):
        return
    _write(connection, MINUTE, _fold_minutes(connection, minutes, step))
    for shorter, longer in pairwise(RESOLUTIONS.values()):
        buckets = {ticker: {m - m % longer for m in of_ticker} for ticker, of_ticker in minutes.items()}
        _write(connection, longer, _combine_candles(connection, buckets, shorter, longer))


def _write(connection: Connection, resolution: int, found: Mapping[str, list[Candle]]) -> None:
    names = ("timestamp", "open", "high", "low", "close", "count")
    rows = [
        {"ticker": ticker, "resolution": resolution} | {name: getattr(candle, name) for name in names}
        for ticker, candles in found.items()
        for candle in candles
    ]
    if rows:
        connection.execute(replace_rows(connection.dialect.name, table), rows)


def _as_queries(moments: Mapping[str, set[int]], apart: int) -> Iterable[tuple[list[str], int, int]]:
    """Group the moments of all tickers into few queries, each of (tickers, first, last)."""
    for earliest, latest in clusters({m for of_ticker in moments.values() for m in of_ticker}, apart):
        yield (
            [t for t, of_ticker in moments.items() if any(earliest <= m <= latest for m in of_ticker)],
            earliest,
            latest,
        )


def _fold_minutes(connection: Connection, minutes: Mapping[str, set[int]], step: int) -> dict[str, list[Candle]]:
    found: dict[str, list[Candle]] = defaultdict(list)
    longest = max(step - MINUTE, 0)  # the price of a slot longer than a minute may be of one of its later minutes
    for tickers, earliest, latest in _as_queries(minutes, APART_SECONDS):
        minute_bars: dict[tuple[str, int], list[MinuteBar]] = defaultdict(list)
        for bar in _bars_between(connection, tickers, earliest, latest + MINUTE):
            minute_bars[bar.ticker, bar.timestamp].append(bar)
        stored: dict[tuple[str, int], list[Price]] = defaultdict(list)
        for price in prices.between(connection, tickers, earliest - longest, latest + MINUTE):
            stored[price.ticker, minute(price.exchange_timestamp)].append(price)
        for ticker in tickers:
            for moment in sorted(m for m in minutes[ticker] if earliest <= m <= latest):
                candle = fold(moment, minute_bars[ticker, moment], stored[ticker, moment])
                if candle is not None:
                    found[ticker].append(candle)
    return found


def _combine_candles(
    connection: Connection, buckets: Mapping[str, set[int]], shorter: int, longer: int
) -> dict[str, list[Candle]]:
    c = table.c
    found: dict[str, list[Candle]] = defaultdict(list)
    for tickers, earliest, latest in _as_queries(buckets, max(APART_SECONDS, longer)):
        within = (c.timestamp >= earliest, c.timestamp < latest + longer)
        short: dict[tuple[str, int], list[Candle]] = defaultdict(list)
        for row in connection.execute(select(table).where(c.ticker.in_(tickers), c.resolution == shorter, *within)):
            short[row[0], row[2] - row[2] % longer].append(Candle(*row[2:]))
        for ticker in tickers:
            for bucket in buckets[ticker]:
                if earliest <= bucket <= latest and short[ticker, bucket]:
                    found[ticker].append(combine(bucket, short[ticker, bucket]))
    return found


def add_pruned_minutes(connection: Connection, minutes: Mapping[str, set[int]]) -> None:
    """Add every minute of a day whose shorter candles were pruned before its longer ones.

    The longer candles of such a day cannot be combined from the shorter ones any more; they need all prices of the day.
    """
    c = table.c
    for ticker, of_ticker in minutes.items():
        of_resolutions = (c.ticker == ticker, c.resolution.in_(RESOLUTIONS.values()))
        for day in {moment - moment % DAY for moment in of_ticker}:
            counted = select(func.sum(c["count"])).where(*of_resolutions, c.timestamp >= day, c.timestamp < day + DAY)
            counts = connection.execute(counted.group_by(c.resolution)).scalars().all()
            if counts and (len(counts) < len(RESOLUTIONS) or len(set(counts)) > 1):
                of_ticker.update(range(day, day + DAY, MINUTE))


def delete_bars_before(connection: Connection, ticker: str, end: int) -> None:
    """Delete the bars of a ticker whose minute begins before a moment."""
    connection.execute(delete(bars).where(bars.c.ticker == ticker, bars.c.timestamp < end))


def delete_oldest(connection: Connection, ticker: str, resolution: int, before: int) -> bool:
    """Delete up to DELETED_AT_ONCE of the oldest candles before a moment; False when there were none."""
    oldest = first(connection, ticker, resolution)
    if oldest is None or oldest >= before:
        return False
    end = min(oldest + DELETED_AT_ONCE * resolution, before)
    c = table.c
    connection.execute(delete(table).where(c.ticker == ticker, c.resolution == resolution, c.timestamp < end))
    return True
