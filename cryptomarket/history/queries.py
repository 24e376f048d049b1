"""The statements that read, made once each; what changes from one question to the next are their parameters.

Making a statement costs more than running it, so each is kept. They know no connection and no dialect.
"""

import json
from functools import cache
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, String, Text, bindparam, cast, func, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from ..database.schema import candles as candle_table
from ..database.schema import jobs as job_table
from ..database.schema import ledger
from ..database.schema import prices as price_table
from .intervals import Kind

__all__ = [
    "Form",
    "Order",
    "bounds",
    "candle_lines",
    "candles",
    "covering",
    "first_candle",
    "first_line_part",
    "has_ticker",
    "holes",
    "jobs",
    "last_candle",
    "lines",
    "page",
    "recorded_tickers",
    "span",
    "stored_tickers",
]


class Pattern(FunctionElement[str]):
    """A pattern with each of its %s replaced by the text of a value; half as dear as putting the pieces together."""

    type = Text()
    inherit_cache = True

    def __init__(self, pattern: str, *values: ColumnElement[Any]) -> None:
        super().__init__(literal(pattern, Text), *values)


@compiles(Pattern, "postgresql")
def _format(element: Pattern, compiler: SQLCompiler, **given: Any) -> str:
    return f"format({compiler.process(element.clauses, **given)})"


@compiles(Pattern, "sqlite")
def _printf(element: Pattern, compiler: SQLCompiler, **given: Any) -> str:
    return f"printf({compiler.process(element.clauses, **given)})"


Order = Literal["asc", "desc"]
#: How a page is written as text: the members of a JSON array, lines of JSON, lines of CSV.
Form = Literal["json", "ndjson", "csv"]

#: Beyond every moment, as bounds that are always there.
EARLIEST, LATEST = 0, 2**53

_ticker = bindparam("ticker", type_=String)
_low = bindparam("low", type_=BigInteger)
_high = bindparam("high", type_=BigInteger)
_limit = bindparam("limit", type_=BigInteger)


def bounds(
    ticker: str, start: int | None, end: int | None, after: int | None, limit: int, order: Order
) -> dict[str, Any]:
    """The parameters of a page: [low, high) is what lies in the range and after the position, in the order asked for.

    So a page is found by its key, and page 5,000 costs what page 1 costs: there is no OFFSET.
    """
    low = EARLIEST if start is None else start
    high = LATEST if end is None else end
    if after is not None:
        low, high = (max(low, after + 1), high) if order == "asc" else (low, min(high, after))
    return {"ticker": ticker, "low": low, "high": high, "limit": limit}


@cache
def page(order: Order) -> Select[Any]:
    """Stored prices; executed with `bounds`."""
    c = price_table.c
    wanted = select(price_table).where(c.ticker == _ticker, c.timestamp >= _low, c.timestamp < _high)
    return wanted.order_by(c.timestamp if order == "asc" else c.timestamp.desc()).limit(_limit)


@cache
def lines(form: Form, order: Order) -> Select[Any]:
    """A page as (text, number of rows, last position, whether more follow); executed with `bounds` and `head`.

    The database writes the lines, in C and without a Python object a row, so that an export runs at its speed. NUMERIC
    as text has neither exponent nor rounding, and SQLite stores the text itself.
    """
    row = page(order).subquery()
    c, head = row.c, bindparam("head", type_=Text)
    if form == "csv":
        line = Pattern("%s%s,%s,%s,%s\n", head, c.timestamp, c.price, c.exchange_timestamp, c.source)
    else:
        pattern = '%s%s,"timestamp":%s,"exchange_timestamp":%s}' + ("" if form == "json" else "\n")
        line = Pattern(pattern, head, c.price, c.timestamp, c.exchange_timestamp)
    # The page has an order and a limit, which both databases keep when they put its rows together.
    texts = func.aggregate_strings(line, "," if form == "json" else "")
    last = (func.max if order == "asc" else func.min)(row.c.timestamp)
    whole = select(texts.label("text"), func.count().label("count"), last.label("last")).subquery()
    c = price_table.c
    beyond = (c.timestamp > whole.c.last, c.timestamp < _high) if order == "asc" else (c.timestamp < whole.c.last,)
    more = select(literal(1)).where(c.ticker == _ticker, c.timestamp >= _low, *beyond).exists()
    return select(whole.c.text, whole.c.count, whole.c.last, more)


def first_line_part(form: Form, ticker: str) -> str:
    """The `head` of each line: what comes before its first number."""
    return f"{ticker}," if form == "csv" else f'{{"ticker":{json.dumps(ticker)},"price":'


@cache
def candles(order: Order) -> Select[Any]:
    """Candles of a resolution as (timestamp, open, high, low, close, count), prices as text; with `bounds`."""
    c = candle_table.c
    prices = [cast(c[name], Text) for name in ("open", "high", "low", "close")]
    of_series = (c.ticker == _ticker, c.resolution == bindparam("resolution", type_=Integer))
    wanted = select(c.timestamp, *prices, c.count).where(*of_series, c.timestamp >= _low, c.timestamp < _high)
    return wanted.order_by(c.timestamp if order == "asc" else c.timestamp.desc()).limit(_limit)


@cache
def candle_lines(order: Order) -> Select[Any]:
    """Candles as (text, number, first and last position, whether more follow): the members of a JSON array."""
    row = candles(order).subquery()
    pattern = '{"timestamp":%s,"open":%s,"high":%s,"low":%s,"close":%s,"count":%s}'
    slot = row.c.timestamp
    texts = func.aggregate_strings(Pattern(pattern, *row.c), ",").label("text")
    ends = (func.min(slot).label("first"), func.max(slot).label("last"))
    whole = select(texts, func.count().label("count"), *ends).subquery()
    c = candle_table.c
    of_series = (c.ticker == _ticker, c.resolution == bindparam("resolution", type_=Integer))
    beyond = (c.timestamp > whole.c.last, c.timestamp < _high) if order == "asc" else (c.timestamp < whole.c.first,)
    more = select(literal(1)).where(*of_series, c.timestamp >= _low, *beyond).exists()
    return select(*whole.c, more)


@cache
def covering() -> Select[Any]:
    """The ledger's entries that share time with [low, high), oldest first."""
    of_ticker = ledger.c.ticker == _ticker
    first = select(func.max(ledger.c.start)).where(of_ticker, ledger.c.start <= _low).scalar_subquery()
    begins = (ledger.c.start >= func.coalesce(first, _low), ledger.c.start < _high)
    return select(ledger).where(of_ticker, *begins, ledger.c.end > _low).order_by(ledger.c.start)


@cache
def span() -> Select[Any]:
    """Where the ledger of a ticker begins and ends; each is one step along an index."""
    first = select(func.min(ledger.c.start)).where(ledger.c.ticker == _ticker).scalar_subquery()
    last = select(func.max(ledger.c.end)).where(ledger.c.ticker == _ticker).scalar_subquery()
    return select(first, last)


@cache
def stored_tickers() -> Select[Any]:
    """Every ticker that has rows, found by hopping along the key: one step a ticker, however many rows it has."""
    c = price_table.c
    first = select(func.min(c.ticker).label("ticker")).cte("names", recursive=True)
    following = select(func.min(c.ticker)).where(c.ticker > first.c.ticker).scalar_subquery()
    names = first.union_all(select(following).where(first.c.ticker.is_not(None)))
    return select(names.c.ticker).where(names.c.ticker.is_not(None)).order_by(names.c.ticker)


@cache
def recorded_tickers() -> Select[Any]:
    """Every ticker of the ledger, which is small."""
    return select(ledger.c.ticker).distinct()


@cache
def has_ticker() -> Select[Any]:
    """A row if the ticker has any."""
    return select(literal(1)).where(price_table.c.ticker == _ticker).limit(1)


@cache
def holes() -> Select[Any]:
    """The missing entries of all tickers that end after `since`, the newest first."""
    missing = (ledger.c.kind == Kind.MISSING.value, ledger.c.end > bindparam("since", type_=BigInteger))
    return select(ledger).where(*missing).order_by(ledger.c.end.desc(), ledger.c.ticker)


@cache
def last_candle() -> Select[Any]:
    """Where the newest candle of a ticker and a resolution begins."""
    c = candle_table.c
    of_series = (c.ticker == _ticker, c.resolution == bindparam("resolution", type_=Integer))
    return select(func.max(c.timestamp)).where(*of_series)


@cache
def first_candle() -> Select[Any]:
    """Where the oldest candle of a ticker and a resolution begins."""
    c = candle_table.c
    of_series = (c.ticker == _ticker, c.resolution == bindparam("resolution", type_=Integer))
    return select(func.min(c.timestamp)).where(*of_series)


@cache
def jobs() -> Select[Any]:
    """When each daily job last ended well."""
    return select(job_table)
