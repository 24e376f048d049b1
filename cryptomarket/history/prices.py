"""The table of prices: its statements and the functions that run them, each on a connection that it is given.

What reads comes first, what writes second. Making a statement costs more than running it, so those that pages need are
made once. It does not know the ledger or the candles; `writer.py` changes them together.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, String, Text, bindparam, delete, func, literal, select, update

from ..database.dialects import FormattedText, insert_into
from ..database.schema import leader
from ..database.schema import prices as table
from ..model import Price, Source
from .pages import Form, Order, PageQuery, TextPage

__all__ = [
    "PricePage",
    "between",
    "correct",
    "delete_between",
    "first_slot",
    "insert_missing",
    "is_stored",
    "latest",
    "page",
    "page_statement",
    "text_page",
    "text_page_statement",
    "tickers",
    "write_live",
]

_ticker = bindparam("ticker", type_=String)
_low = bindparam("low", type_=BigInteger)
_high = bindparam("high", type_=BigInteger)
_limit = bindparam("limit", type_=BigInteger)


@dataclass(frozen=True, slots=True)
class PricePage:
    """Rows in the query's order; `next` is the `after` of the following page, None on the last one."""

    data: Sequence[Price]
    next: int | None = None


def page(connection: Connection, query: PageQuery) -> PricePage:
    """The page as values."""
    one_more = {**query.parameters(), "limit": query.limit + 1}
    rows = connection.execute(page_statement(query.order), one_more).all()
    data = [Price(*row) for row in rows[: query.limit]]
    return PricePage(data, data[-1].timestamp if len(rows) > query.limit else None)


def text_page(connection: Connection, form: Form, query: PageQuery) -> TextPage:
    """The same page as text, with every digit; the database writes it."""
    before_price = f"{query.ticker}," if form == "csv" else f'{{"ticker":{json.dumps(query.ticker)},"price":'
    parameters = {**query.parameters(), "before_price": before_price}
    text, count, last, more = connection.execute(text_page_statement(form, query.order), parameters).one()
    return TextPage(text or "", count, last if more else None)


def latest(connection: Connection, ticker: str) -> Price | None:
    """The price of the newest slot of a ticker."""
    row = connection.execute(page_statement("desc"), PageQuery(ticker, limit=1).parameters()).first()
    return Price(*row) if row else None


def between(connection: Connection, tickers: Sequence[str], start: int, end: int) -> list[Price]:
    """The prices of these tickers with a slot in [start, end)."""
    c = table.c
    wanted = select(table).where(c.ticker.in_(tickers), c.timestamp >= start, c.timestamp < end)
    return [Price(*row) for row in connection.execute(wanted)]


def first_slot(connection: Connection, ticker: str) -> int | None:
    """The oldest slot of a ticker."""
    found: int | None = connection.execute(select(func.min(table.c.timestamp)).where(table.c.ticker == ticker)).scalar()
    return found


def tickers(connection: Connection) -> list[str]:
    """Every ticker with a price, sorted."""
    return sorted(connection.execute(_tickers_statement()).scalars())


def is_stored(connection: Connection, ticker: str) -> bool:
    """Whether a ticker has a price."""
    return connection.execute(_is_stored_statement(), {"ticker": ticker}).first() is not None


@cache
def page_statement(order: Order) -> Select[Any]:
    """Rows of a page; executed with `PageQuery.parameters`."""
    c = table.c
    wanted = select(table).where(c.ticker == _ticker, c.timestamp >= _low, c.timestamp < _high)
    return wanted.order_by(c.timestamp if order == "asc" else c.timestamp.desc()).limit(_limit)


@cache
def text_page_statement(form: Form, order: Order) -> Select[Any]:
    """A page as (text, rows, last timestamp, whether more follow); executed with the query and `before_price`.

    The database writes the lines in C, without a Python object a row, so that an export runs at its speed. NUMERIC as
    text has neither exponent nor rounding, and SQLite stores the text itself.
    """
    row = page_statement(order).subquery()
    c, before_price = row.c, bindparam("before_price", type_=Text)
    if form == "csv":
        line = FormattedText("%s%s,%s,%s,%s\n", before_price, c.timestamp, c.price, c.exchange_timestamp, c.source)
    else:
        pattern = '%s%s,"timestamp":%s,"exchange_timestamp":%s}' + ("" if form == "json" else "\n")
        line = FormattedText(pattern, before_price, c.price, c.timestamp, c.exchange_timestamp)
    # The subquery has an order and a limit, which both databases keep when they join its rows.
    text = func.aggregate_strings(line, "," if form == "json" else "")
    last = (func.max if order == "asc" else func.min)(row.c.timestamp)
    whole = select(text.label("text"), func.count().label("count"), last.label("last")).subquery()
    c = table.c
    beyond = (c.timestamp > whole.c.last, c.timestamp < _high) if order == "asc" else (c.timestamp < whole.c.last,)
    more = select(literal(1)).where(c.ticker == _ticker, c.timestamp >= _low, *beyond).exists()
    return select(whole.c.text, whole.c.count, whole.c.last, more)


@cache
def _tickers_statement() -> Select[Any]:
    """Every ticker, found by one step along the key a ticker, however many rows it has."""
    c = table.c
    first = select(func.min(c.ticker).label("ticker")).cte("names", recursive=True)
    following = select(func.min(c.ticker)).where(c.ticker > first.c.ticker).scalar_subquery()
    names = first.union_all(select(following).where(first.c.ticker.is_not(None)))
    return select(names.c.ticker).where(names.c.ticker.is_not(None)).order_by(names.c.ticker)


@cache
def _is_stored_statement() -> Select[Any]:
    return select(literal(1)).where(table.c.ticker == _ticker).limit(1)


def write_live(connection: Connection, rows: Sequence[Price], epoch: int) -> None:
    """Write prices of our own connection: over rows of an older epoch and over rows that are not live.

    Writes nothing when `epoch` is not the newest. The conflict clause alone could not see to that: a deposed leader
    would still insert a slot that is not there yet.
    """
    values = (bindparam(column.name, type_=column.type) for column in table.c)
    guarded = select(*values).where(leader.c.epoch == epoch).with_for_update(read=True)
    insert = insert_into(connection.dialect.name, table).from_select([column.name for column in table.c], guarded)
    new = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[table.c.ticker, table.c.timestamp],
        set_={name: new[name] for name in ("price", "exchange_timestamp", "source", "epoch")},
        where=(new.epoch >= table.c.epoch) | (table.c.source != Source.LIVE.value),
    )
    connection.execute(statement, _parameters(rows))


def insert_missing(connection: Connection, rows: Sequence[Price]) -> None:
    """Insert prices whose slot is empty; the others stay as they are."""
    connection.execute(insert_into(connection.dialect.name, table).on_conflict_do_nothing(), _parameters(rows))


def _parameters(rows: Iterable[Price]) -> list[dict[str, Any]]:
    names = [column.name for column in table.c]
    return [{name: getattr(row, name) for name in names} | {"source": str(row.source)} for row in rows]


def correct(connection: Connection, row: Price) -> bool:
    """Replace a live row by a later price of its slot, unless its epoch is newer; returns whether it was replaced."""
    c = table.c
    of_slot = (c.ticker == row.ticker) & (c.timestamp == row.timestamp) & (c.source == Source.LIVE.value)
    older = (c.exchange_timestamp < row.exchange_timestamp) & (c.epoch <= row.epoch)
    new = {"price": row.price, "exchange_timestamp": row.exchange_timestamp, "epoch": row.epoch}
    return connection.execute(update(table).where(of_slot, older).values(new)).rowcount > 0


def delete_between(connection: Connection, ticker: str, start: int, end: int) -> None:
    """Delete the prices of a ticker with a slot in [start, end)."""
    c = table.c
    connection.execute(delete(table).where(c.ticker == ticker, c.timestamp >= start, c.timestamp < end))
