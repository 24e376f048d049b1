"""Every statement on prices, as values: the gateway's pool, the command line and Celery run the same ones.

It knows no connection and no dialect but in the name of the one it is asked to write for.
"""

from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Insert, Select, bindparam, func, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..model import Price, Source
from .schema import leader, prices

__all__ = [
    "Order",
    "fence",
    "has_ticker",
    "insert_missing",
    "latest",
    "next_epoch",
    "page",
    "parameters",
    "stored_tickers",
    "write_live",
]

Order = Literal["asc", "desc"]

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


def _insert(dialect: str) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(prices)


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
