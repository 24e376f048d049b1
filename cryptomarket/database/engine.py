"""The connection to SQLite or PostgreSQL: pools, sessions, transactions and errors. It knows no table but Alembic's.

Driver errors end here. Callers see DatabaseUnavailable (the work can be repeated later) or StartError (an operator
must act).
"""

import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import anyio
from sqlalchemy import Connection, event, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from ..errors import DatabaseUnavailable, StartError
from .address import check_place, create_file, display_url, parse_url
from .migrate import upgrade
from .tls import tls_arguments, tls_problem

__all__ = [
    "CONNECT_SECONDS",
    "LOCK_SECONDS",
    "Database",
    "DatabaseSession",
    "begin_immediately",
    "prepare_writer",
    "translate_errors",
]

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_SECONDS = 5.0
#: Limit of a statement that writes: a network partition must not stop the recorder for ever.
STATEMENT_SECONDS = 30.0
#: Limit of a statement that a request waits for; a page of ten million rows takes milliseconds.
READ_SECONDS = 8.0
#: How long SQLite waits for another writer.
LOCK_SECONDS = 5.0
#: How long a request waits for a free connection of the pool.
POOL_SECONDS = 5.0
#: How long the switch to WAL is retried while another process starts on the same file, and the pause between tries.
WAL_SECONDS = 5.0
WAL_RETRY_SECONDS = 0.05

#: Temporary classes and codes of SQLSTATE: connection, rollback, resources, operator, system, lock, failover.
_TEMPORARY = ("08", "40", "53", "57", "58", "55P03", "25006")
#: SQLITE_ERROR is an error of ours; these come from the machine or from another process.
_TEMPORARY_SQLITE = (
    "BUSY",
    "LOCKED",
    "FULL",
    "IOERR",
    "CANTOPEN",
    "READONLY",
    "NOMEM",
    "PROTOCOL",
    "CORRUPT",
    "NOTADB",
)
#: What waiting cannot cure: authorization, unknown database, unknown role.
_PERMANENT = ("28", "3D")


def _reason(error: BaseException) -> str:
    origin = getattr(error, "orig", None) or error
    cause = origin.__cause__ if isinstance(origin.__cause__, Exception) else origin
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__


def _is_temporary(error: DBAPIError) -> bool:
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return str(name).removeprefix("SQLITE_").startswith(_TEMPORARY_SQLITE)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_TEMPORARY + _PERMANENT)
    # The driver raises errors without a code: a closed connection is the environment's fault, anything else is ours.
    return (
        error.connection_invalidated or "closed" in str(error.orig) or isinstance(error.orig, sqlite3.ProgrammingError)
    )


@contextlib.contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Raise DatabaseUnavailable for the environment's failures; an error in our own statement passes unchanged.

    `place` names the database in the message, without a password.
    """
    try:
        yield
    except DBAPIError as exc:
        if _is_temporary(exc):
            raise DatabaseUnavailable(f"the database {place} does not answer: {_reason(exc)}") from exc
        raise
    except (OSError, TimeoutError, PoolTimeout) as exc:
        raise DatabaseUnavailable(f"the database {place} does not answer: {tls_problem(exc) or _reason(exc)}") from exc


def _is_permanent(error: DatabaseUnavailable) -> bool:
    """Whether waiting cannot help: no database in the file, a wrong password or name, a certificate that is refused."""
    cause = error.__cause__
    if cause is not None and tls_problem(cause):
        return True
    origin = getattr(cause, "orig", cause)
    name = str(getattr(origin, "sqlite_errorname", "")).removeprefix("SQLITE_")
    return name.startswith(("NOTADB", "CORRUPT", "CANTOPEN", "READONLY")) or str(
        getattr(origin, "sqlstate", None) or ""
    ).startswith(_PERMANENT)


class Database:
    """Two pools on one database: `readers` in autocommit, and `writers`, on SQLite one transaction at a time.

    Two, so that many pages at once cannot keep the recorder from writing. Use it as an async context manager, then
    `migrate()` before anything else. `lock_seconds` is how long a write waits for another process that writes into the
    same SQLite file. With `pooled=False` each use opens a connection and closes it, for an event loop that ends soon.
    Raises StartError for an address that cannot be used.
    """

    def __init__(self, address: str, *, lock_seconds: float = LOCK_SECONDS, pooled: bool = True) -> None:
        self.url, self._tls = tls_arguments(parse_url(address))
        self.place = display_url(self.url)
        self.dialect = self.url.get_backend_name()
        self._pooled = pooled
        self._lock_seconds = lock_seconds
        try:
            # Readers begin no transaction, so there is nothing to roll back when a connection returns to the pool.
            autocommit = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
            self.readers = self._engine(8 if self.dialect == "postgresql" else 4, READ_SECONDS, **autocommit)
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
                **self._tls,
            }
        if self._pooled:
            options |= {"pool_size": size, "max_overflow": 0, "pool_timeout": POOL_SECONDS}
        else:
            options["poolclass"] = NullPool
        return create_async_engine(self.url, connect_args=arguments, **options)

    async def __aenter__(self) -> Self:
        check_place(self.url)
        with translate_errors(self.place):
            create_file(self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.readers.dispose()
            await self.writers.dispose()

    async def session(self) -> AsyncIterator["DatabaseSession"]:
        """Yield a session of the readers' pool, for `Depends(database.session)`; it is closed with the request."""
        opened = DatabaseSession(self)
        try:
            yield opened
        finally:
            with anyio.CancelScope(shield=True):
                await opened.close()

    #: The same session for an `async with`.
    reading = contextlib.asynccontextmanager(session)

    async def read(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(connection, ...)`, run on a connection of the readers. Raises DatabaseUnavailable."""
        async with self.reading() as session:
            return await session.read(function, *args, **kwargs)

    async def write(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(connection, ...)`, run in one transaction. Raises DatabaseUnavailable."""
        async with self.transaction() as connection:
            return await connection.run_sync(function, *args, **kwargs)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection that commits at the end of the block. Raises DatabaseUnavailable."""
        # A cancelled statement would continue in SQLite's thread and keep the lock from the last write of a shutdown.
        # SQLite's timeouts bound it instead. PostgreSQL's driver cancels on the server.
        with translate_errors(self.place), anyio.CancelScope(shield=self.dialect == "sqlite"):
            async with self.writers.begin() as connection:
                yield connection

    async def ping(self) -> None:
        """Run the smallest statement. Raises DatabaseUnavailable."""
        await self.read(lambda connection: connection.execute(select(1)).scalar())

    async def migrate(self) -> None:
        """Upgrade the database to this program's revision; several processes may do so at once.

        Raises StartError for what an operator must repair, DatabaseUnavailable for what may pass.
        """
        try:
            if self.dialect == "sqlite":
                await self._switch_to_wal()
            await self.write(upgrade)
        except DatabaseUnavailable as exc:
            if _is_permanent(exc):
                raise StartError(str(exc).replace("does not answer", "cannot be used")) from exc
            raise

    async def tidy(self) -> None:
        """Move SQLite's log into its file and refresh its statistics; PostgreSQL does both by itself."""
        if self.dialect == "sqlite":
            async with self._outside_transactions() as connection:
                await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                await connection.execute(text("PRAGMA analysis_limit = 1000"))  # without it ANALYZE reads every row
                await connection.execute(text("ANALYZE"))

    async def _switch_to_wal(self) -> None:
        # With WAL readers and the writer do not wait for each other. The file keeps the mode. The switch takes a lock
        # that SQLite's busy timeout does not wait for, so that two first starts at once collide here.
        deadline = time.monotonic() + WAL_SECONDS
        while True:
            try:
                async with self._outside_transactions() as connection:
                    await connection.execute(text("PRAGMA journal_mode = WAL"))
                return
            except DatabaseUnavailable as exc:
                if _is_permanent(exc) or time.monotonic() > deadline:
                    raise
            await anyio.sleep(WAL_RETRY_SECONDS)

    @contextlib.asynccontextmanager
    async def _outside_transactions(self) -> AsyncIterator[AsyncConnection]:
        """A connection to SQLite that may write outside a transaction, for the PRAGMAs that cannot be in one."""
        with translate_errors(self.place), anyio.CancelScope(shield=True):  # as in `transaction`
            async with self.readers.connect() as connection:
                await connection.execute(text("PRAGMA query_only = OFF"))
                try:
                    yield connection
                finally:
                    await connection.execute(text("PRAGMA query_only = ON"))


class DatabaseSession:
    """Reads through one pooled connection, which it takes at its first read and returns when closed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None

    async def close(self) -> None:
        """Return the connection to the pool."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with translate_errors(self._database.place):
                await connection.close()

    async def read(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return `function(connection, ...)`; a pooled connection that proves dead is replaced once.

        Raises DatabaseUnavailable.
        """
        with translate_errors(self._database.place):
            try:
                return await self._read(function, *args, **kwargs)
            except DBAPIError as exc:
                if not exc.connection_invalidated:
                    raise
            await self.close()
            return await self._read(function, *args, **kwargs)

    async def _read(self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._connection is None:
            self._connection = await self._database.readers.connect()
        return await self._connection.run_sync(function, *args, **kwargs)


def _prepare_reader(connection: Any, _: object) -> None:
    _set_pragmas(connection, "query_only = ON", "cache_size = -16384")


def prepare_writer(connection: Any, _: object) -> None:
    """Make a new SQLite connection safe to write with."""
    # A committed row survives a power failure, not only the end of the process; one sync a minute costs nothing.
    _set_pragmas(connection, "synchronous = FULL")
    # The driver's own implicit BEGIN is deferred and excludes DDL; `begin_immediately` replaces it.
    connection.isolation_level = None


def _set_pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_immediately(connection: Connection) -> None:
    """Begin a transaction on SQLite that holds the writer's lock from its start."""
    # A deferred transaction that reads and then writes fails at once when another one wrote in between; this one waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
