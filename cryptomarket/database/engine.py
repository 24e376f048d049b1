"""The way to the database: its address, its two pools, and its errors in our words.

Readers and writers have pools of their own, so that a storm of pages cannot keep the recorder from writing.
It knows no table.
"""

import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import anyio
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ..errors import DatabaseUnavailable, StartError

__all__ = [
    "CONNECT_SECONDS",
    "LOCK_SECONDS",
    "Database",
    "begin_immediately",
    "check_place",
    "parse_url",
    "permanent",
    "prepare_writer",
    "shown",
    "translated",
]

T = TypeVar("T")

CONNECT_SECONDS = 5.0
#: How long a statement may take before the connection is given up: a partition must not hold the recorder for ever.
STATEMENT_SECONDS = 30.0
#: The same for what somebody waits for: a page of ten million rows takes milliseconds.
READ_SECONDS = 8.0
#: How long SQLite waits for another writer.
LOCK_SECONDS = 5.0
#: How long a request waits for a free connection of the pool.
POOL_SECONDS = 5.0

#: Classes and codes of SQLSTATE that pass: connection, rollback to repeat, resources, operator, system, lock, failover.
_PASSING = ("08", "40", "53", "57", "58", "55P03", "25006")
#: SQLITE_ERROR is our mistake; these are the machine's or another process's.
_PASSING_SQLITE = ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "READONLY", "NOMEM", "PROTOCOL", "CORRUPT", "NOTADB")
#: What no waiting heals: authorization, unknown database, unknown role.
_PERMANENT = ("28", "3D")


def parse_url(text: str) -> URL:
    """The address, checked. Raises StartError; the message never shows the address, which may hold a password."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise StartError(
            "the database address cannot be read; expected sqlite+aiosqlite:///file or postgresql+asyncpg://..."
        ) from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StartError(f"the database {url.drivername} is not supported; expected SQLite or PostgreSQL")
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise StartError("an SQLite database in memory would be empty after every start; name a file")
    return url


def shown(url: URL) -> str:
    """The address for logs and messages: no password, and no query, which may hold one too."""
    if url.get_backend_name() == "sqlite":
        return str(Path(url.database or "").absolute())
    return url.set(query={}).render_as_string(hide_password=True)


def check_place(url: URL, *, must_exist: bool = False) -> None:
    """Raise StartError, naming the path, when the SQLite file cannot be read, written or made."""
    if url.get_backend_name() != "sqlite":
        return
    path = Path(shown(url))
    try:
        if path.is_dir():
            raise StartError(f"the database {path} is a folder; expected a file")
        if not path.parent.is_dir():
            raise StartError(f"the database {path} cannot be made: the folder {path.parent} does not exist")
        exists = path.exists()
    except OSError as exc:
        raise StartError(f"the database {path} cannot be reached: {exc.strerror}") from exc
    if must_exist and not exists:
        raise StartError(f"there is no database {path}; start the gateway on it first")
    if not os.access(path if exists else path.parent, os.R_OK | os.W_OK):
        raise StartError(f"the database {path} cannot be {'read and written' if exists else 'made'}: permission denied")


def _reason(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    cause = origin.__cause__ if isinstance(origin.__cause__, Exception) else origin
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _passes(error: DBAPIError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).removeprefix("SQLITE_").startswith(_PASSING_SQLITE)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_PASSING + _PERMANENT)
    # Without a code it is the driver that speaks: a closed connection is news of the network, the rest our mistake.
    return (
        error.connection_invalidated or "closed" in str(error.orig) or isinstance(error.orig, sqlite3.ProgrammingError)
    )


@contextlib.contextmanager
def translated(place: str) -> Iterator[None]:
    """Raise DatabaseUnavailable for whatever can pass by itself; a mistake of ours goes through unchanged."""
    try:
        yield
    except DBAPIError as exc:
        if _passes(exc):
            raise DatabaseUnavailable(f"the database {place} does not answer: {_reason(exc)}") from exc
        raise
    except (OSError, TimeoutError, PoolTimeout) as exc:
        raise DatabaseUnavailable(f"the database {place} does not answer: {_reason(exc)}") from exc


def permanent(error: DatabaseUnavailable) -> bool:
    """Whether no waiting heals it: the file is no database, the password or the name of the database is wrong."""
    cause = error.__cause__
    origin = getattr(cause, "orig", cause)
    name = str(getattr(origin, "sqlite_errorname", "")).removeprefix("SQLITE_")
    return name.startswith(("NOTADB", "CORRUPT", "CANTOPEN", "READONLY")) or str(
        getattr(origin, "sqlstate", None) or ""
    ).startswith(_PERMANENT)


class Database:
    """Two pools on one database: `readers`, in autocommit, and `writers`, one transaction at a time on SQLite.

    Not `pooled`, each use opens a connection and closes it: for work whose event loop ends with it.
    """

    def __init__(self, text: str, *, lock_seconds: float = LOCK_SECONDS, pooled: bool = True) -> None:
        self.url = parse_url(text)
        self._pooled = pooled
        self.place = shown(self.url)
        self.dialect = self.url.get_backend_name()
        self._lock_seconds = lock_seconds
        try:
            # Readers begin no transaction, so there is none to roll back when they give their connection back.
            reading = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
            self.readers = self._engine(8 if self.dialect == "postgresql" else 4, READ_SECONDS, **reading)
            self.writers = self._engine(4 if self.dialect == "postgresql" else 1, STATEMENT_SECONDS)
        except (NoSuchModuleError, ArgumentError) as exc:
            raise StartError(f"the database {self.place} cannot be used: {_reason(exc)}") from None
        if self.dialect == "sqlite":
            event.listen(self.readers.sync_engine, "connect", _prepare_reader)
            event.listen(self.writers.sync_engine, "connect", prepare_writer)
            event.listen(self.writers.sync_engine, "begin", begin_immediately)

    def __repr__(self) -> str:
        return f"<Database {self.place}>"

    def _engine(self, size: int, statement_seconds: float, **options: Any) -> AsyncEngine:
        arguments: dict[str, Any] = {"timeout": self._lock_seconds}
        if self.dialect == "postgresql":
            arguments = {
                "timeout": CONNECT_SECONDS,
                "command_timeout": statement_seconds,
                "server_settings": {"application_name": "cryptomarket"},
            }
        if self._pooled:
            options |= {"pool_size": size, "max_overflow": 0, "pool_timeout": POOL_SECONDS}
        else:
            options["poolclass"] = NullPool
        return create_async_engine(self.url, connect_args=arguments, **options)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection that commits at the end of the block. Raises DatabaseUnavailable."""
        # A cancelled statement would go on in SQLite's thread and keep the writer's lock from whoever writes last at a
        # stop; its own time-outs bound it. PostgreSQL's driver cancels on the server.
        with translated(self.place), anyio.CancelScope(shield=self.dialect == "sqlite"):
            async with self.writers.begin() as connection:
                yield connection

    async def write(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return what ``work(connection, *arguments)`` returns, run in one transaction. Raises DatabaseUnavailable."""
        async with self.transaction() as connection:
            return await connection.run_sync(work, *arguments)

    async def close(self) -> None:
        """Close the connections of both pools."""
        await self.readers.dispose()
        await self.writers.dispose()


def _prepare_reader(connection: Any, _: object) -> None:
    _pragmas(connection, "query_only = ON", "cache_size = -16384")


def prepare_writer(connection: Any, _: object) -> None:
    """Make a new SQLite connection safe to write with."""
    # A committed row survives the loss of power, not only of the process; one sync a minute costs nothing.
    _pragmas(connection, "synchronous = FULL")
    # The driver's own implicit BEGIN is deferred and leaves out DDL: we begin ourselves, below.
    connection.isolation_level = None


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_immediately(connection: Any) -> None:
    """Begin a transaction on SQLite with the writer's lock."""
    # A deferred transaction that reads and then writes fails at once when another wrote in between; this one waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
