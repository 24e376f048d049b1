"""The ledger's table: for each ticker, intervals that say what is stored and why the rest is missing.

The rules are in `intervals.py`; here are the statements and the functions that run them, each on a connection that it
is given. What reads comes first, what writes second. A transaction that writes here holds LEDGER_LOCK.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    String,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from ..database.schema import ledger as table
from ..model import Price
from .intervals import (
    Coverage,
    Interval,
    Kind,
    MissingReasons,
    Reason,
    cover,
    gap_before,
    kept_since,
    mark_pruned,
    record,
    runs,
)

__all__ = [
    "MissingInterval",
    "coverage",
    "missing",
    "observe",
    "prune",
    "prunings_end",
    "span",
    "tickers",
    "write_interval",
]

_ticker = bindparam("ticker", type_=String)
_low = bindparam("low", type_=BigInteger)
_high = bindparam("high", type_=BigInteger)


@dataclass(frozen=True, slots=True)
class MissingInterval:
    """A missing interval of a ticker."""

    ticker: str
    interval: Interval


def coverage(connection: Connection, ticker: str, start: int, end: int) -> Coverage:
    """What is known of [start, end): observed, backfilled, or missing and why."""
    rows = connection.execute(_coverage_statement(), {"ticker": ticker, "low": start, "high": end})
    return cover(_intervals(rows), start, end)


def span(connection: Connection, ticker: str) -> tuple[int, int] | None:
    """Start and end of a ticker's ledger; None when it has no entry."""
    start, end = connection.execute(_span_statement(), {"ticker": ticker}).one()
    return None if start is None else (start, end)


def missing(connection: Connection, since: int = 0) -> list[MissingInterval]:
    """The missing intervals of all tickers that end after a moment, the newest first."""
    rows = connection.execute(_missing_statement(), {"since": since}).all()
    return [MissingInterval(row[0], interval) for row, interval in zip(rows, _intervals(rows), strict=True)]


def tickers(connection: Connection) -> list[str]:
    """Every ticker with an entry, sorted; its prices may have been pruned."""
    return sorted(connection.execute(select(table.c.ticker).distinct()).scalars())


def prunings_end(connection: Connection, ticker: str) -> int:
    """The first moment whose prices are kept; 0 when nothing of the ticker was pruned."""
    pruned = (table.c.ticker == ticker, table.c.reason == Reason.PRUNED.value)
    return kept_since(connection.execute(select(func.max(table.c.end)).where(*pruned)).scalar())


@cache
def _coverage_statement() -> Select[Any]:
    """The entries that share time with [low, high), oldest first."""
    of_ticker = table.c.ticker == _ticker
    first = select(func.max(table.c.start)).where(of_ticker, table.c.start <= _low).scalar_subquery()
    begins = (table.c.start >= func.coalesce(first, _low), table.c.start < _high)
    return select(table).where(of_ticker, *begins, table.c.end > _low).order_by(table.c.start)


@cache
def _span_statement() -> Select[Any]:
    """First start and last end; each is one step along an index."""
    first = select(func.min(table.c.start)).where(table.c.ticker == _ticker).scalar_subquery()
    last = select(func.max(table.c.end)).where(table.c.ticker == _ticker).scalar_subquery()
    return select(first, last)


@cache
def _missing_statement() -> Select[Any]:
    wanted = (table.c.kind == Kind.MISSING.value, table.c.end > bindparam("since", type_=BigInteger))
    return select(table).where(*wanted).order_by(table.c.end.desc(), table.c.ticker)


def _neighbours(connection: Connection, ticker: str, start: int, end: int) -> list[Interval]:
    """The entries that touch [start, end) and the nearest one on each side, oldest first."""
    of_ticker = table.c.ticker == ticker
    before = select(func.max(table.c.start)).where(of_ticker, table.c.start < start).scalar_subquery()
    after = select(func.min(table.c.start)).where(of_ticker, table.c.start >= end).scalar_subquery()
    begins = (table.c.start >= func.coalesce(before, start), table.c.start <= func.coalesce(after, end))
    return _intervals(connection.execute(select(table).where(of_ticker, *begins).order_by(table.c.start)))


def _intervals(rows: Iterable[Sequence[Any]]) -> list[Interval]:
    return [Interval(row[1], row[2], Kind(row[3]), *row[4:]) for row in rows]


def observe(connection: Connection, rows: Sequence[Price], step: int, reasons: MissingReasons) -> None:
    """Enter the slots of live prices as observed, and the time missing before them with its reasons.

    Slots that follow the last entry of their ticker are the usual case: all tickers share one statement.
    """
    slots: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        slots[row.ticker].append(row.timestamp)
    of_run: dict[tuple[int, int], list[str]] = defaultdict(list)
    for ticker, of_ticker in slots.items():
        for run in runs(of_ticker, step):
            of_run[run].append(ticker)
    for (start, end), run_tickers in sorted(of_run.items()):
        extended = _extend_observed(connection, run_tickers, start, end, step)
        for ticker in run_tickers:
            if ticker not in extended:
                write_interval(connection, ticker, Interval(start, end, Kind.OBSERVED, step), reasons)


def _extend_observed(connection: Connection, tickers: Sequence[str], start: int, end: int, step: int) -> set[str]:
    """Extend the last entry of each ticker whose last entry is observed and ends at `start`; returns those tickers."""
    later = table.alias()
    extended = (
        update(table)
        .values(end=end)
        .where(table.c.ticker.in_(tickers), table.c.end == start)
        .where(table.c.kind == Kind.OBSERVED.value, table.c.step == step)
        .where(~exists().where(later.c.ticker == table.c.ticker, later.c.start >= start))
        .returning(table.c.ticker)
    )
    return set(connection.execute(extended).scalars())


def write_interval(connection: Connection, ticker: str, new: Interval, reasons: MissingReasons) -> None:
    """Enter an interval where no stronger kind stands, and the time missing before it with its reasons."""
    entries = _neighbours(connection, ticker, new.start, new.end)
    gap = gap_before(entries, new)
    missing_before = reasons.explain(ticker, *gap, new.step) if gap else ()
    _replace(connection, ticker, entries, record(entries, new, missing_before))


def prune(connection: Connection, ticker: str, start: int, end: int) -> None:
    """Mark what the ledger has in [start, end) as pruned."""
    entries = _neighbours(connection, ticker, start, end)
    _replace(connection, ticker, entries, mark_pruned(entries, end))


def _replace(connection: Connection, ticker: str, old: Sequence[Interval], new: Sequence[Interval]) -> None:
    if gone := [{"t": ticker, "s": entry.start} for entry in old if entry not in new]:
        key = (table.c.ticker == bindparam("t"), table.c.start == bindparam("s"))
        connection.execute(delete(table).where(*key), gone)
    if added := [{"ticker": ticker, **asdict(entry), "kind": entry.kind.value} for entry in new if entry not in old]:
        connection.execute(insert(table), added)
