"""A database for commands that need no event loop and for notebooks: one function call, run in one transaction.

The Celery tasks do not use it: they request many prices at once, in an event loop of their own.

SQLite has a synchronous driver. For PostgreSQL the gateway's driver, asyncpg, runs in an event loop of the call.
"""

import asyncio
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, create_engine, event, inspect
from sqlalchemy.ext.asyncio import create_async_engine

from ..errors import StartError
from .address import check_place, display_url, parse_url
from .engine import CONNECT_SECONDS, begin_immediately, prepare_writer, translate_errors
from .schema import prices
from .tls import tls_arguments

__all__ = ["read_synchronously", "write_synchronously"]

P = ParamSpec("P")
T = TypeVar("T")


def read_synchronously(
    address: str, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return `function(connection, ...)`, run on the database at an address.

    Raises StartError when no gateway has created a database there, DatabaseUnavailable when it does not answer.
    """
    return _run(address, lambda connection: function(connection, *args, **kwargs), writes=False)


def write_synchronously(
    address: str, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """The same for a function that writes: on SQLite the transaction takes the writer's lock at its start."""
    return _run(address, lambda connection: function(connection, *args, **kwargs), writes=True)


def _run(address: str, function: Callable[[Connection], T], *, writes: bool) -> T:
    url = parse_url(address)
    check_place(url, must_exist=True)
    with translate_errors(display_url(url)):
        if url.get_backend_name() == "sqlite":
            return _run_on_sqlite(url, function, writes=writes)
        return asyncio.run(_run_on_postgresql(url, function))


def _run_on_sqlite(url: URL, function: Callable[[Connection], T], *, writes: bool) -> T:
    engine = create_engine(url.set(drivername="sqlite"))
    event.listen(engine, "connect", prepare_writer)
    if writes:
        event.listen(engine, "begin", begin_immediately)
    try:
        with engine.begin() as connection:
            _check_tables(connection)
            return function(connection)
    finally:
        engine.dispose()


async def _run_on_postgresql(url: URL, function: Callable[[Connection], T]) -> T:
    url, tls = tls_arguments(url)
    engine = create_async_engine(url, connect_args={"timeout": CONNECT_SECONDS, **tls})
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_check_tables)
            return await connection.run_sync(function)
    finally:
        await engine.dispose()


def _check_tables(connection: Connection) -> None:
    if not inspect(connection).has_table(prices.name):
        place = display_url(connection.engine.url)
        raise StartError(f"the database {place} holds no prices; start the gateway on it first")
