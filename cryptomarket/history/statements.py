"""The statements that write, as values: the gateway's pool, the command line and Celery run the same ones.

They know no connection, and of dialects only the name of the one they are asked to write for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    Insert,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ..database.schema import bars, candles, jobs, leader, ledger, prices
from ..model import Price, Source
from .candles import RESOLUTIONS, Candle, MinuteBar
from .intervals import Interval, Kind, Reason

__all__ = [
    "bar_rows",
    "bars_between",
    "candle_counts",
    "candle_rows",
    "candles_between",
    "correct",
    "correction",
    "enter_entries",
    "entry_keys",
    "entry_rows",
    "extend_observed",
    "fence",
    "finish_job",
    "first_price",
    "forget_entries",
    "insert_missing",
    "lock_ledger",
    "neighbours",
    "next_epoch",
    "parameters",
    "prices_between",
    "prune_bars",
    "prune_candles",
    "prune_prices",
    "pruned_until",
    "write_bars",
    "write_candles",
    "write_live",
]

#: The name of PostgreSQL's lock on the ledger: the recorder, a backfill and the command line take turns.
LEDGER_LOCK = 0x6C6564676572

_columns = prices.c


def parameters(rows: Iterable[Price]) -> list[dict[str, Any]]:
    """The rows as the parameters of `write_live` and `insert_missing`."""
    return [
        {
            "ticker": row.ticker,
            "timestamp": row.timestamp,
            "price": row.price,
            "exchange_timestamp": row.exchange_timestamp,
            "source": str(row.source),
            "epoch": row.epoch,
        }
        for row in rows
    ]


def _insert(dialect: str, table: Table = prices) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def fence(epoch: int) -> Select[Any]:
    """The leader's row if the epoch is still the newest; the row is held until the transaction ends.

    On PostgreSQL the next leader waits for our commit before it becomes one; SQLite has one writer at a time anyway.
    """
    return select(leader.c.epoch).where(leader.c.epoch == epoch).with_for_update(read=True)


def write_live(dialect: str, epoch: int) -> Insert:
    """Write a price of our own connection: over an older epoch, over a backfilled row, never once we are deposed.

    The conflict clause alone is no fence: a deposed leader would still insert a slot that is not there yet.
    """
    values = (bindparam(column.name, type_=column.type) for column in _columns)
    guarded = select(*values).where(leader.c.epoch == epoch).with_for_update(read=True)
    insert = _insert(dialect).from_select([column.name for column in _columns], guarded)
    new = insert.excluded
    statement: Insert = insert.on_conflict_do_update(
        index_elements=[_columns.ticker, _columns.timestamp],
        set_={name: new[name] for name in ("price", "exchange_timestamp", "source", "epoch")},
        where=(new.epoch >= _columns.epoch) | (_columns.source != Source.LIVE.value),
    )
    return statement


def insert_missing(dialect: str) -> Insert:
    """Insert a price where nothing stands; whatever stands stays."""
    statement: Insert = _insert(dialect).on_conflict_do_nothing()
    return statement


def correct() -> Any:
    """Give a live row a later price of its slot, none of an older epoch; executed with `correction`."""
    mine = (_columns.ticker == bindparam("t")) & (_columns.timestamp == bindparam("s"))
    older = (_columns.exchange_timestamp < bindparam("ms")) & (_columns.epoch <= bindparam("e"))
    new = {
        "price": bindparam("p", type_=_columns.price.type),
        "exchange_timestamp": bindparam("ms"),
        "epoch": bindparam("e"),
    }
    return update(prices).where(mine, older, _columns.source == Source.LIVE.value).values(new)


def correction(row: Price) -> dict[str, Any]:
    """The parameters of `correct`."""
    return {"t": row.ticker, "s": row.timestamp, "p": row.price, "ms": row.exchange_timestamp, "e": row.epoch}


def next_epoch() -> Any:
    """Count the epoch up and return it; of two callers each gets its own."""
    return update(leader).values(epoch=leader.c.epoch + 1).returning(leader.c.epoch)


def lock_ledger() -> Any:
    """Wait for whoever changes the ledger on PostgreSQL; SQLite has one writer at a time anyway."""
    return text("SELECT pg_advisory_xact_lock(:lock)").bindparams(lock=LEDGER_LOCK)


def extend_observed(tickers: Sequence[str], start: int, end: int, step: int) -> Any:
    """Extend the last entry of these tickers, where it is observed and ends at `start`; returns those it did for.

    This is the usual way: one statement a slot, for all tickers.
    """
    later = ledger.alias()
    return (
        update(ledger)
        .values(end=end)
        .where(ledger.c.ticker.in_(tickers), ledger.c.end == start)
        .where(ledger.c.kind == Kind.OBSERVED.value, ledger.c.step == step)
        .where(~exists().where(later.c.ticker == ledger.c.ticker, later.c.start >= start))
        .returning(ledger.c.ticker)
    )


def neighbours(ticker: str, start: int, end: int) -> Select[Any]:
    """The ledger's entries that touch a stretch, and the nearest on each side, oldest first."""
    of_ticker = ledger.c.ticker == ticker
    before = select(func.max(ledger.c.start)).where(of_ticker, ledger.c.start < start).scalar_subquery()
    after = select(func.min(ledger.c.start)).where(of_ticker, ledger.c.start >= end).scalar_subquery()
    return (
        select(ledger)
        .where(of_ticker, ledger.c.start >= func.coalesce(before, start), ledger.c.start <= func.coalesce(after, end))
        .order_by(ledger.c.start)
    )


def forget_entries() -> Any:
    """Delete entries of the ledger by their key; executed with `entry_keys`."""
    return delete(ledger).where(ledger.c.ticker == bindparam("t"), ledger.c.start == bindparam("s"))


def enter_entries() -> Insert:
    """Insert entries into the ledger; executed with `entry_rows`."""
    return insert(ledger)


def entry_keys(ticker: str, entries: Iterable[Interval]) -> list[dict[str, Any]]:
    """The parameters of `forget_entries`."""
    return [{"t": ticker, "s": entry.start} for entry in entries]


def entry_rows(ticker: str, entries: Iterable[Interval]) -> list[dict[str, Any]]:
    """The parameters of `enter_entries`."""
    return [{"ticker": ticker, **asdict(entry), "kind": entry.kind.value} for entry in entries]


def write_bars(dialect: str) -> Insert:
    """Write bars over their own earlier state; executed with `bar_rows`."""
    return _replace(dialect, bars)


def write_candles(dialect: str) -> Insert:
    """Write candles over their earlier state; executed with `candle_rows`."""
    return _replace(dialect, candles)


def _replace(dialect: str, table: Table) -> Insert:
    statement = _insert(dialect, table)
    rest = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    written: Insert = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)
    return written


def bar_rows(parts: Iterable[MinuteBar]) -> list[dict[str, Any]]:
    """The parameters of `write_bars`."""
    return [asdict(part) for part in parts]


def candle_rows(ticker: str, resolution: int, parts: Iterable[Candle]) -> list[dict[str, Any]]:
    """The parameters of `write_candles`."""
    return [
        {
            "ticker": ticker,
            "resolution": resolution,
            "timestamp": part.timestamp,
            "open": part.open,
            "high": part.high,
            "low": part.low,
            "close": part.close,
            "count": part.count,
        }
        for part in parts
    ]


def bars_between(tickers: Sequence[str], start: int, end: int) -> Select[Any]:
    """The bars of these tickers whose minute begins in [start, end)."""
    c = bars.c
    return select(bars).where(c.ticker.in_(tickers), c.timestamp >= start, c.timestamp < end)


def prices_between(tickers: Sequence[str], start: int, end: int) -> Select[Any]:
    """The stored prices of these tickers with a slot in [start, end)."""
    c = _columns
    return select(prices).where(c.ticker.in_(tickers), c.timestamp >= start, c.timestamp < end)


def candles_between(tickers: Sequence[str], resolution: int, start: int, end: int) -> Select[Any]:
    """The candles of these tickers that begin in [start, end)."""
    c = candles.c
    return select(candles).where(
        c.ticker.in_(tickers), c.resolution == resolution, c.timestamp >= start, c.timestamp < end
    )


def candle_counts(ticker: str, start: int, end: int) -> Select[Any]:
    """Of each resolution that has candles of a ticker in [start, end), how many prices they count."""
    c = candles.c
    of_ticker = (c.ticker == ticker, c.resolution.in_(RESOLUTIONS.values()))
    counted = select(func.sum(c["count"])).where(*of_ticker, c.timestamp >= start, c.timestamp < end)
    return counted.group_by(c.resolution)


def finish_job(dialect: str, name: str, day: int, finished: int) -> Insert:
    """Note that a daily job ended well."""
    return _replace(dialect, jobs).values(name=name, day=day, finished=finished)


def prune_prices(ticker: str, start: int, end: int) -> Any:
    """Delete the prices of a ticker with a slot in [start, end)."""
    c = _columns
    return delete(prices).where(c.ticker == ticker, c.timestamp >= start, c.timestamp < end)


def prune_bars(ticker: str, start: int, end: int) -> Any:
    """Delete the bars of a ticker in [start, end)."""
    return delete(bars).where(bars.c.ticker == ticker, bars.c.timestamp >= start, bars.c.timestamp < end)


def pruned_until(ticker: str) -> Select[Any]:
    """Where the prices of a ticker that were pruned end."""
    return select(func.max(ledger.c.end)).where(ledger.c.ticker == ticker, ledger.c.reason == Reason.PRUNED.value)


def prune_candles(ticker: str, resolution: int, end: int) -> Any:
    """Delete the candles of a ticker and a resolution that begin before a moment."""
    c = candles.c
    return delete(candles).where(c.ticker == ticker, c.resolution == resolution, c.timestamp < end)


def first_price(ticker: str) -> Select[Any]:
    """The first slot of a ticker."""
    return select(func.min(_columns.timestamp)).where(_columns.ticker == ticker)
