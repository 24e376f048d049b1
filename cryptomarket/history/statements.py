"""Every statement on stored prices, as values: the gateway's pool, the command line and Celery run the same ones.

It knows no connection, and of dialects only the name of the one it is asked to write for.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Literal

from sqlalchemy import (
    Insert,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ..model import Price, Source
from .candles import Bar, Candle
from .gaps import Interval, Kind
from .schema import bars, candles, jobs, leader, ledger, prices

__all__ = ["Form", "Order"]

Order = Literal["asc", "desc"]
#: How a page is written as text: the members of a JSON array, lines of JSON, lines of CSV.
Form = Literal["json", "ndjson", "csv"]

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


def next_epoch() -> Any:
    """Count the epoch up and return it; of two callers each gets its own."""
    return update(leader).values(epoch=leader.c.epoch + 1).returning(leader.c.epoch)


def page(ticker: str, start: int | None, end: int | None, after: int | None, limit: int, order: Order) -> Select[Any]:
    """The next `limit` rows of a ticker after a position; what page 5,000 costs is what page 1 costs (no OFFSET).

    `start` is included, `end` is not, `after` is the last timestamp already seen.
    """
    slot = _columns.timestamp
    statement = select(prices).where(_columns.ticker == ticker)
    if start is not None:
        statement = statement.where(slot >= start)
    if end is not None:
        statement = statement.where(slot < end)
    if after is not None:
        statement = statement.where(slot > after if order == "asc" else slot < after)
    return statement.order_by(slot if order == "asc" else slot.desc()).limit(limit)


def lines(
    form: Form, ticker: str, start: int | None, end: int | None, after: int | None, limit: int, order: Order
) -> Select[Any]:
    """A page as one text, with the number of its rows, its last position, and whether more follow.

    The database writes the lines, in C and without a Python object a row, so that an export runs at its speed. NUMERIC
    as text has neither exponent nor rounding, and SQLite stores the text itself.
    """
    row = page(ticker, start, end, after, limit, order).subquery()
    words = {name: cast(row.c[name], Text) for name in ("timestamp", "price", "exchange_timestamp", "source")}
    slot, price, moment = words["timestamp"], words["price"], words["exchange_timestamp"]
    if form == "csv":
        line = literal(f"{ticker},", Text) + slot + "," + price + "," + moment + "," + words["source"] + "\n"
    else:
        line = literal(f'{{"ticker":{json.dumps(ticker)},"price":', Text) + price + ',"timestamp":' + slot
        line = line + ',"exchange_timestamp":' + moment + ("}" if form == "json" else "}\n")
    # The page has an order and a limit, which both databases keep when they put its rows together.
    texts: Any = func.aggregate_strings(line, "," if form == "json" else "")
    last = (func.max if order == "asc" else func.min)(row.c.timestamp)
    whole = select(texts.label("text"), func.count().label("count"), last.label("last")).subquery()
    slots = _columns.timestamp
    rest = select(literal(1)).where(_columns.ticker == ticker)
    if order == "asc":
        rest = rest.where(slots > whole.c.last, *([] if end is None else [slots < end]))
    else:
        rest = rest.where(slots < whole.c.last, *([] if start is None else [slots >= start]))
    return select(whole.c.text, whole.c.count, whole.c.last, rest.exists())


def latest(ticker: str) -> Select[Any]:
    """The newest row of a ticker."""
    return page(ticker, None, None, None, 1, "desc")


def stored_tickers() -> Select[Any]:
    """Every ticker that has rows, found by hopping along the key: one step a ticker, however many rows it has."""
    first = select(func.min(_columns.ticker).label("ticker")).cte("names", recursive=True)
    following = select(func.min(_columns.ticker)).where(_columns.ticker > first.c.ticker).scalar_subquery()
    names = first.union_all(select(following).where(first.c.ticker.is_not(None)))
    return select(names.c.ticker).where(names.c.ticker.is_not(None)).order_by(names.c.ticker)


def has_ticker(ticker: str) -> Select[Any]:
    """A row if the ticker has any."""
    return select(literal(1)).where(_columns.ticker == ticker).limit(1)


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


def covering(ticker: str, start: int, end: int) -> Select[Any]:
    """The ledger's entries that share time with a range, oldest first."""
    of_ticker = ledger.c.ticker == ticker
    first = select(func.max(ledger.c.start)).where(of_ticker, ledger.c.start <= start).scalar_subquery()
    return (
        select(ledger)
        .where(of_ticker, ledger.c.start >= func.coalesce(first, start), ledger.c.start < end, ledger.c.end > start)
        .order_by(ledger.c.start)
    )


def recorded_span(ticker: str) -> Select[Any]:
    """Where the ledger of a ticker begins and ends; each is one step along an index."""
    first = select(func.min(ledger.c.start)).where(ledger.c.ticker == ticker).scalar_subquery()
    last = select(func.max(ledger.c.end)).where(ledger.c.ticker == ticker).scalar_subquery()
    return select(first, last)


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


def holes(since: int) -> Select[Any]:
    """The missing entries of all tickers that end after a moment, the newest first."""
    return (
        select(ledger)
        .where(ledger.c.kind == Kind.MISSING.value, ledger.c.end > since)
        .order_by(ledger.c.end.desc(), ledger.c.ticker)
    )


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


def bar_rows(parts: Iterable[Bar]) -> list[dict[str, Any]]:
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


def candle_page(
    ticker: str, resolution: int, start: int | None, end: int | None, limit: int, after: int | None, order: Order
) -> Select[Any]:
    """Candles of a ticker that begin in [start, end) after a position, without ticker and resolution."""
    c = candles.c
    statement = select(c.timestamp, c.open, c.high, c.low, c.close, c.count).where(
        c.ticker == ticker, c.resolution == resolution
    )
    if start is not None:
        statement = statement.where(c.timestamp >= start)
    if end is not None:
        statement = statement.where(c.timestamp < end)
    if after is not None:
        statement = statement.where(c.timestamp > after if order == "asc" else c.timestamp < after)
    return statement.order_by(c.timestamp if order == "asc" else c.timestamp.desc()).limit(limit)


def last_candle(ticker: str, resolution: int) -> Select[Any]:
    """Where the newest candle of a ticker begins."""
    return select(func.max(candles.c.timestamp)).where(candles.c.ticker == ticker, candles.c.resolution == resolution)


def finished_jobs() -> Select[Any]:
    """When each daily job last ended well."""
    return select(jobs)


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


def prune_ledger(ticker: str, end: int) -> Any:
    """Delete the entries of a ticker that end by a moment."""
    return delete(ledger).where(ledger.c.ticker == ticker, ledger.c.end <= end)


def cut_ledger(ticker: str, moment: int) -> Any:
    """Let the entry of a ticker that lies across a moment begin there."""
    across = (ledger.c.ticker == ticker, ledger.c.start < moment, ledger.c.end > moment)
    return update(ledger).where(*across).values(start=moment)


def prune_candles(resolution: int, end: int) -> Any:
    """Delete the candles of a resolution that begin before a moment, of all tickers."""
    return delete(candles).where(candles.c.resolution == resolution, candles.c.timestamp < end)


def first_price(ticker: str) -> Select[Any]:
    """The first slot of a ticker."""
    return select(func.min(_columns.timestamp)).where(_columns.ticker == ticker)
