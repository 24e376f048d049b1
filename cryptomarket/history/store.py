"""The store: prices in SQLite or PostgreSQL, written under the leader's epoch, read in pages.

Driver errors end here: callers see DatabaseUnavailable (repeat it later) or StartError (an operator must act).
"""

import contextlib
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

import anyio
from sqlalchemy import Select, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import DatabaseUnavailable, StartError
from ..model import Price
from . import statements
from .database import LOCK_SECONDS, Database, check_place, permanent, translated
from .migrate import bring_forward
from .statements import Order

__all__ = ["Page", "Reader", "Store"]

#: Rows of one transaction: large enough to be fast, small enough not to hold the event loop or the writer's lock.
CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the order asked for; `next` is the `after` of the following page, None when this was the last."""

    data: Sequence[Price]
    next: int | None = None


class Reader:
    """Reads through one pooled connection, which it takes at its first question and gives back when closed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None

    async def close(self) -> None:
        """Give the connection back to the pool."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            with translated(self._database.place):
                await connection.close()

    async def rows(self, statement: Select[Any]) -> Sequence[Any]:
        """All rows of a statement; one that finds its pooled connection dead is asked again on a new one."""
        with translated(self._database.place):
            try:
                return await self._ask(statement)
            except DBAPIError as exc:
                if not exc.connection_invalidated:
                    raise
            await self.close()
            return await self._ask(statement)

    async def _ask(self, statement: Select[Any]) -> Sequence[Any]:
        if self._connection is None:
            self._connection = await self._database.readers.connect()
        rows: Sequence[Any] = (await self._connection.execute(statement)).all()
        return rows

    async def latest(self, ticker: str) -> Price | None:
        """The newest stored price of the ticker."""
        rows = await self.rows(statements.latest(ticker))
        return Price(*rows[0]) if rows else None

    async def prices(
        self,
        ticker: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        after: int | None = None,
        order: Order = "asc",
    ) -> Page:
        """A page of stored prices with `start` <= slot < `end`, after the position `after` (the last slot seen)."""
        rows = await self.rows(statements.page(ticker, start, end, after, limit + 1, order))
        data = [Price(*row) for row in rows[:limit]]
        return Page(data, data[-1].timestamp if len(rows) > limit else None)

    async def tickers(self) -> list[str]:
        """Every ticker that has stored prices, sorted."""
        return [row[0] for row in await self.rows(statements.stored_tickers())]

    async def known(self, ticker: str) -> bool:
        """Whether the ticker has stored prices."""
        return bool(await self.rows(statements.has_ticker(ticker)))


class Store:
    """The database of prices; use it as an async context manager, then `migrate()` before anything else.

    `lock_seconds` is how long a write waits for another process that writes into the same SQLite file.
    """

    def __init__(self, url: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
        self._database = Database(url, lock_seconds=lock_seconds)

    def __repr__(self) -> str:
        return f"<Store {self._database.place}>"

    @property
    def place(self) -> str:
        """Where the prices are, without a password: a path or an address."""
        return self._database.place

    async def __aenter__(self) -> Self:
        check_place(self._database.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._database.close()

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises DatabaseUnavailable when it gives none."""
        async with self.reading() as reader:
            await reader.rows(select(1))

    async def migrate(self) -> None:
        """Bring the database forward to this program's revision; several processes may do so at once.

        Raises StartError for what an operator must mend, DatabaseUnavailable for what may pass.
        """
        try:
            if self._database.dialect == "sqlite":
                await self._switch_to_wal()
            async with self._transaction() as connection:
                await connection.run_sync(bring_forward)
        except DatabaseUnavailable as exc:
            if permanent(exc):
                raise StartError(str(exc).replace("does not answer", "cannot be used")) from exc
            raise

    async def _switch_to_wal(self) -> None:
        # Readers and the writer do not wait for each other. The switch is kept in the file, and takes a lock that
        # SQLite's busy timeout does not wait for: two first starts at once meet here.
        with translated(self.place):
            deadline = time.monotonic() + 5
            while True:
                try:
                    async with self._database.readers.connect() as connection:
                        await connection.execute(text("PRAGMA query_only = OFF"))
                        await connection.execute(text("PRAGMA journal_mode = WAL"))
                        await connection.execute(text("PRAGMA query_only = ON"))
                    return
                except DBAPIError as exc:
                    busy = getattr(exc.orig, "sqlite_errorname", "") == "SQLITE_BUSY"
                    if not busy or time.monotonic() > deadline:
                        raise
                    await anyio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        with translated(self.place):
            async with self._database.writers.begin() as connection:
                yield connection

    async def take_epoch(self) -> int:
        """Become the newest leader: count the epoch up, return it; writes under a lower one are refused from now on."""
        async with self._transaction() as connection:
            epoch: int = (await connection.execute(statements.next_epoch())).scalar_one()
        return epoch

    async def write_live(self, prices: Sequence[Price], epoch: int) -> bool:
        """Write prices of our own connection, all or none; writing them again changes nothing.

        False, with nothing written, when a newer leader has taken over.
        """
        async with self._transaction() as connection:
            if (await connection.execute(statements.fence(epoch))).first() is None:
                return False
            if prices:
                statement = statements.write_live(self._database.dialect, epoch)
                await connection.execute(statement, statements.parameters(prices))
        return True

    async def insert_missing(self, prices: Iterable[Price]) -> None:
        """Insert prices where nothing stands, in chunks: neither the event loop nor another writer waits long."""
        statement = statements.insert_missing(self._database.dialect)
        for chunk in _chunks(prices, CHUNK):
            async with self._transaction() as connection:
                await connection.execute(statement, statements.parameters(chunk))

    async def session(self) -> AsyncIterator[Reader]:
        """A reader on a pooled connection, for `Depends(store.session)`; given back when the request ends."""
        reader = Reader(self._database)
        try:
            yield reader
        finally:
            with anyio.CancelScope(shield=True):
                await reader.close()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        """The same reader for an `async with`."""
        reader = Reader(self._database)
        try:
            yield reader
        finally:
            with anyio.CancelScope(shield=True):
                await reader.close()

    async def latest(self, ticker: str) -> Price | None:
        """The newest stored price of the ticker."""
        async with self.reading() as reader:
            return await reader.latest(ticker)

    async def prices(
        self,
        ticker: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        after: int | None = None,
        order: Order = "asc",
    ) -> Page:
        """A page of stored prices; see `Reader.prices`."""
        async with self.reading() as reader:
            return await reader.prices(ticker, start=start, end=end, limit=limit, after=after, order=order)

    async def tickers(self) -> list[str]:
        """Every ticker that has stored prices, sorted."""
        async with self.reading() as reader:
            return await reader.tickers()

    async def known(self, ticker: str) -> bool:
        """Whether the ticker has stored prices."""
        async with self.reading() as reader:
            return await reader.known(ticker)


def _chunks(prices: Iterable[Price], size: int) -> Iterator[list[Price]]:
    rest = iter(prices)
    while chunk := list(islice(rest, size)):
        yield chunk
