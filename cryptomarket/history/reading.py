"""The reads: plain synchronous functions over a connection.

The gateway runs them on its pool, the command line and Celery directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace
from sqlalchemy import Connection, select

from ..model import Price
from . import queries
from .candles import RESOLUTIONS, CandleText
from .intervals import Coverage, Interval, Kind, Reason, cover
from .queries import Form, Order

__all__ = [
    "Hole",
    "Page",
    "TextPage",
    "candle_text",
    "candles",
    "coverage",
    "first_candle",
    "holes",
    "jobs",
    "known",
    "latest",
    "ping",
    "prices",
    "recorded",
    "span",
    "text_page",
    "tickers",
]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order asked for; `next` is the `after` of the following page, None when this was the last."""

    data: Sequence[Price]
    next: int | None = None


@dataclass(frozen=True, slots=True)
class Hole:
    """A missing interval of a ticker."""

    ticker: str
    interval: Interval


def ping(connection: Connection) -> None:
    """Ask for a sign of life."""
    connection.execute(select(1))


def latest(connection: Connection, ticker: str) -> Price | None:
    """The newest stored price of the ticker."""
    row = connection.execute(queries.page("desc"), queries.bounds(ticker, None, None, None, 1, "desc")).first()
    return Price(*row) if row else None


def prices(
    connection: Connection, ticker: str, start: int | None, end: int | None, limit: int, after: int | None, order: Order
) -> Page:
    """A page of stored prices with `start` <= slot < `end`, after the position `after` (the last slot seen)."""
    rows = connection.execute(queries.page(order), queries.bounds(ticker, start, end, after, limit + 1, order)).all()
    data = [Price(*row) for row in rows[:limit]]
    return Page(data, data[-1].timestamp if len(rows) > limit else None)


@dataclass(frozen=True, slots=True)
class TextPage:
    """A page written by the database; `next` is the `after` of the following one."""

    text: str
    count: int
    next: int | None = None


def text_page(
    connection: Connection,
    form: Form,
    ticker: str,
    start: int | None,
    end: int | None,
    limit: int,
    after: int | None,
    order: Order,
) -> TextPage:
    """The same page as `prices`, as text with every digit."""
    asked = {**queries.bounds(ticker, start, end, after, limit, order), "head": queries.first_line_part(form, ticker)}
    text, count, last, more = connection.execute(queries.lines(form, order), asked).one()
    return TextPage(text or "", count, last if more else None)


def tickers(connection: Connection) -> list[str]:
    """Every ticker that has stored prices, sorted."""
    return sorted(connection.execute(queries.stored_tickers()).scalars())


def recorded(connection: Connection) -> list[str]:
    """Every ticker the ledger knows, sorted; its prices may have been pruned."""
    return sorted(connection.execute(queries.recorded_tickers()).scalars())


def known(connection: Connection, ticker: str) -> bool:
    """Whether the ticker has stored prices."""
    return connection.execute(queries.has_ticker(), {"ticker": ticker}).first() is not None


def span(connection: Connection, ticker: str) -> tuple[int, int] | None:
    """Where the record of a ticker begins and ends, if it has one."""
    start, end = connection.execute(queries.span(), {"ticker": ticker}).one()
    return None if start is None else (start, end)


def coverage(connection: Connection, ticker: str, start: int, end: int) -> Coverage:
    """What is known of a range: observed, backfilled, missing and why."""
    rows = connection.execute(queries.covering(), {"ticker": ticker, "low": start, "high": end}).all()
    return cover([_interval(row) for row in rows], start, end)


def holes(connection: Connection, since: int) -> list[Hole]:
    """Every missing interval that ends after a moment, of all tickers, the newest first."""
    return [Hole(row[0], _interval(row)) for row in connection.execute(queries.holes(), {"since": since})]


def jobs(connection: Connection) -> dict[str, tuple[int, int]]:
    """Of each daily job the midnight of its last run, and when it ended, UNIX seconds."""
    return {row[0]: (row[1], row[2]) for row in connection.execute(queries.jobs())}


def _interval(row: Sequence[object]) -> Interval:
    return Interval(row[1], row[2], Kind(row[3]), *row[4:])  # type: ignore[arg-type]


def candles(
    connection: Connection,
    ticker: str,
    resolution: str,
    start: int | None,
    end: int | None,
    limit: int,
    after: int | None,
    order: Order,
) -> list[CandleText]:
    """Candles that begin in [start, end), after the position `after`; those with missing time in them are partial."""
    seconds = RESOLUTIONS[resolution]
    asked = {**queries.bounds(ticker, start, end, after, limit, order), "resolution": seconds}
    found = [CandleText(*row) for row in connection.execute(queries.candles(order), asked).all()]
    if not found:
        return found
    first, last = sorted((found[0].timestamp, found[-1].timestamp))
    lacking = _lacking(connection, ticker, first, last + seconds)
    if not lacking:
        return found
    wanting = {m for hole in lacking for m in range(hole.start - hole.start % seconds, hole.end, seconds)}
    return [replace(candle, partial=True) if candle.timestamp in wanting else candle for candle in found]


def candle_text(
    connection: Connection,
    ticker: str,
    resolution: str,
    start: int | None,
    end: int | None,
    limit: int,
    after: int | None,
    order: Order,
) -> TextPage | None:
    """The same candles as JSON, written by the database; None when one may be partial, which it does not know."""
    seconds = RESOLUTIONS[resolution]
    asked = {**queries.bounds(ticker, start, end, after, limit, order), "resolution": seconds}
    text, count, first, last, more = connection.execute(queries.candle_lines(order), asked).one()
    if not count:
        return TextPage("", 0)
    if _lacking(connection, ticker, first, last + seconds):
        return None
    return TextPage(text, count, (last if order == "asc" else first) if more else None)


def first_candle(connection: Connection, ticker: str, resolution: str) -> int | None:
    """Where the oldest candle of a ticker begins: older ones may have been pruned."""
    asked = {"ticker": ticker, "resolution": RESOLUTIONS[resolution]}
    found: int | None = connection.execute(queries.first_candle(), asked).scalar()
    return found


def _lacking(connection: Connection, ticker: str, start: int, end: int) -> list[Interval]:
    """The missing time of a range that a candle lacks; what was pruned had been rolled up before."""
    known = coverage(connection, ticker, start, end).intervals
    return [i for i in known if i.kind is Kind.MISSING and i.reason != Reason.PRUNED]
