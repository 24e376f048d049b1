"""The history for the command line and Celery: a plain synchronous connection, and the statements of the gateway.

SQLite has a synchronous driver. PostgreSQL's is the gateway's own, asyncpg, which runs underneath to the call's end.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from ..database.engine import (
    CONNECT_SECONDS,
    begin_immediately,
    check_place,
    parse_url,
    prepare_writer,
    shown,
    translated,
)
from ..errors import StartError
from . import reading
from .queries import Form, Order

__all__ = ["CSV_HEADER", "export", "synchronously"]

T = TypeVar("T")

CSV_HEADER = "ticker,timestamp,price,exchange_timestamp,source\n"
#: Rows of a page of an export.
PAGE_ROWS = 10_000


def synchronously(url: str, work: Callable[..., T], *arguments: Any, writes: bool = False) -> T:
    """What a function of `reading` or `writing` answers, called with a connection in one transaction.

    Raises StartError when there is no history at the address, DatabaseUnavailable when it does not answer.
    """
    address = parse_url(url)
    check_place(address, must_exist=True)
    with translated(shown(address)):
        if address.get_backend_name() == "sqlite":
            return _on_sqlite(address, writes, work, *arguments)
        return asyncio.run(_on_postgresql(address, work, *arguments))


def _on_sqlite(address: URL, writes: bool, work: Callable[..., T], *arguments: Any) -> T:
    engine = create_engine(address.set(drivername="sqlite"))
    event.listen(engine, "connect", prepare_writer)
    if writes:
        event.listen(engine, "begin", begin_immediately)
    try:
        with engine.begin() as connection:
            return _with_tables(connection, work, *arguments)
    finally:
        engine.dispose()


async def _on_postgresql(address: URL, work: Callable[..., T], *arguments: Any) -> T:
    engine = create_async_engine(address, connect_args={"timeout": CONNECT_SECONDS})
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(_with_tables, work, *arguments)
    finally:
        await engine.dispose()


def _with_tables(connection: Connection, work: Callable[..., T], *arguments: Any) -> T:
    if not inspect(connection).has_table("prices"):
        raise StartError(f"the database {shown(connection.engine.url)} holds no prices; start the gateway on it first")
    return work(connection, *arguments)


def export(
    connection: Connection,
    write: Callable[[str], object],
    form: Form,
    ticker: str,
    start: int | None = None,
    end: int | None = None,
    order: Order = "asc",
) -> int:
    """Write every price of a range as lines of CSV or NDJSON, page by page; returns how many."""
    if form == "csv":
        write(CSV_HEADER)
    rows = 0
    position: int | None = None
    while True:
        page = reading.text_page(connection, form, ticker, start, end, PAGE_ROWS, position, order)
        write(page.text)
        rows += page.count
        position = page.next
        if position is None:
            return rows
