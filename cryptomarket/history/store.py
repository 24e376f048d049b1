"""The store: prices in SQLite or PostgreSQL, written under the leader's epoch, read in pages.

Driver errors end here: callers see DatabaseUnavailable (repeat it later) or StartError (an operator must act).
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, product
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

import anyio
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import lease
from ..database.engine import LOCK_SECONDS, Database, check_place, permanent, translated
from ..database.locks import hold_lock
from ..database.migrate import bring_forward
from ..errors import DatabaseUnavailable, StartError
from ..model import Price
from . import reading, writing
from .candles import CandleText, MinuteBar
from .intervals import Coverage, Interval, Kind
from .queries import Form, Order
from .reading import Hole, Page, TextPage
from .writing import Why, unrecorded

__all__ = ["Page", "Reader", "Store"]

#: Rows of one transaction: large enough to be fast, small enough not to hold the event loop or the writer's lock.
CHUNK = 1_000

T = TypeVar("T")


class PageWanted(TypedDict, total=False):
    """The keywords of `Reader.prices`."""

    start: int | None
    end: int | None
    limit: int
    after: int | None
    order: Order


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

    async def ask(self, read: Callable[..., T], *arguments: Any) -> T:
        """What a function of `reading` answers; when its pooled connection proves dead, a new one is asked."""
        with translated(self._database.place):
            try:
                return await self._ask(read, *arguments)
            except DBAPIError as exc:
                if not exc.connection_invalidated:
                    raise
            await self.close()
            return await self._ask(read, *arguments)

    async def _ask(self, read: Callable[..., T], *arguments: Any) -> T:
        if self._connection is None:
            self._connection = await self._database.readers.connect()
        return await self._connection.run_sync(read, *arguments)

    async def latest(self, ticker: str) -> Price | None:
        """The newest stored price of the ticker."""
        return await self.ask(reading.latest, ticker)

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
        return await self.ask(reading.prices, ticker, start, end, limit, after, order)

    async def text_page(
        self,
        form: Form,
        ticker: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        after: int | None = None,
        order: Order = "asc",
    ) -> TextPage:
        """The same page as `prices`, written by the database as text with every digit."""
        return await self.ask(reading.text_page, form, ticker, start, end, limit, after, order)

    async def tickers(self) -> list[str]:
        """Every ticker that has stored prices, sorted."""
        return await self.ask(reading.tickers)

    async def known(self, ticker: str) -> bool:
        """Whether the ticker has stored prices."""
        return await self.ask(reading.known, ticker)

    async def span(self, ticker: str) -> tuple[int, int] | None:
        """Where the record of a ticker begins and ends, if it has one."""
        return await self.ask(reading.span, ticker)

    async def coverage(self, ticker: str, start: int, end: int) -> Coverage:
        """What is known of a range: observed, backfilled, missing and why."""
        return await self.ask(reading.coverage, ticker, start, end)

    async def candles(
        self,
        ticker: str,
        resolution: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        after: int | None = None,
        order: Order = "asc",
    ) -> list[CandleText]:
        """Candles that begin in [start, end), after the position `after`; those with missing time are partial."""
        return await self.ask(reading.candles, ticker, resolution, start, end, limit, after, order)

    async def candle_text(
        self,
        ticker: str,
        resolution: str,
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1_000,
        after: int | None = None,
        order: Order = "asc",
    ) -> TextPage | None:
        """The same candles as JSON, written by the database; None when one may be partial."""
        return await self.ask(reading.candle_text, ticker, resolution, start, end, limit, after, order)

    async def first_candle(self, ticker: str, resolution: str) -> int | None:
        """Where the oldest candle of a ticker begins."""
        return await self.ask(reading.first_candle, ticker, resolution)

    async def holes(self, since: int) -> list[Hole]:
        """Every missing interval that ends after a moment, of all tickers, the newest first."""
        return await self.ask(reading.holes, since)


class Store:
    """The database of prices; use it as an async context manager, then `migrate()` before anything else.

    `interval` is the slot in force, seconds, with which the ledger is kept. `lock_seconds` is how long a write waits
    for another process that writes into the same SQLite file. Not `pooled`, it keeps no connection between two uses.
    """

    def __init__(
        self, url: str, *, interval: int = 60, lock_seconds: float = LOCK_SECONDS, pooled: bool = True
    ) -> None:
        self.interval = interval
        self.database = Database(url, lock_seconds=lock_seconds, pooled=pooled)

    def __repr__(self) -> str:
        return f"<Store {self.database.place}>"

    @property
    def place(self) -> str:
        """Where the prices are, without a password: a path or an address."""
        return self.database.place

    async def __aenter__(self) -> Self:
        check_place(self.database.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self.database.close()

    async def ping(self) -> None:
        """Ask the database for a sign of life. Raises DatabaseUnavailable when it gives none."""
        with translated(self.place):
            async with self.database.readers.connect() as connection:
                await connection.execute(select(1))

    async def migrate(self) -> None:
        """Bring the database forward to this program's revision; several processes may do so at once.

        Raises StartError for what an operator must mend, DatabaseUnavailable for what may pass.
        """
        try:
            if self.database.dialect == "sqlite":
                await self._switch_to_wal()
            async with self.database.transaction() as connection:
                await connection.run_sync(bring_forward)
            await self.make_candles()
        except DatabaseUnavailable as exc:
            if permanent(exc):
                raise StartError(str(exc).replace("does not answer", "cannot be used")) from exc
            raise

    async def _switch_to_wal(self) -> None:
        # Readers and the writer do not wait for each other. The switch is kept in the file, and takes a lock that
        # SQLite's busy timeout does not wait for: two first starts at once meet here.
        deadline = time.monotonic() + 5
        while True:
            try:
                async with self._outside_transactions() as connection:
                    await connection.execute(text("PRAGMA journal_mode = WAL"))
                return
            except DatabaseUnavailable as exc:
                if permanent(exc) or time.monotonic() > deadline:
                    raise
            await anyio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def _outside_transactions(self) -> AsyncIterator[AsyncConnection]:
        """A connection to SQLite that may write and begins no transaction, for what cannot be in one."""
        with translated(self.place), anyio.CancelScope(shield=True):  # as in a transaction
            async with self.database.readers.connect() as connection:
                await connection.execute(text("PRAGMA query_only = OFF"))
                try:
                    yield connection
                finally:
                    await connection.execute(text("PRAGMA query_only = ON"))

    async def take_epoch(self) -> int:
        """Become the newest leader: count the epoch up, return it; writes under a lower one are refused from now on."""
        return await self.database.write(writing.take_epoch)

    async def claim_lease(self, holder: str, session: int | None, above: int = 0) -> int | None:
        """The next epoch, if no node leads any more; ``session`` is that of the database which holds the lock."""
        return await self.database.write(lease.claim, holder, session, above)

    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool:
        """Lead for some more seconds; False when another node leads now."""
        return await self.database.write(lease.renew, holder, epoch, session)

    async def release_lease(self, holder: str, epoch: int) -> None:
        """Lead no more."""
        await self.database.write(lease.release, holder, epoch)

    async def hold_lock(self, held: Callable[[int | None], None]) -> None:
        """Wait for the leader's lock in a session of our own, tell its number, and hold it until cancelled.

        None is told when the session is lost. SQLite has no such lock: there the lease alone decides.
        """
        await hold_lock(self.database, held)

    async def write_live(
        self, prices: Sequence[Price], epoch: int, *, bars: Sequence[MinuteBar] = (), why: Why | None = None
    ) -> bool:
        """Write what our own connection heard, all or nothing; writing it again changes nothing.

        The ledger enters the slots, and for a hole before them what `why` says. False, with nothing written, when a
        newer leader has taken over.
        """
        explain = why or unrecorded(self.interval)
        return await self.database.write(writing.write_live, prices, bars, epoch, self.interval, explain)

    async def insert_missing(self, prices: Iterable[Price]) -> None:
        """Insert prices where nothing stands, in chunks: neither the event loop nor another writer waits long."""
        for chunk in _chunks(prices, CHUNK):
            await self.database.write(writing.insert_missing, chunk, self.interval)

    async def correct(self, prices: Sequence[Price]) -> None:
        """Give live rows the last price of their slot where their writer died before it wrote that."""
        await self.database.write(writing.correct, prices, self.interval)

    async def mark_missing(self, ticker: str, start: int, end: int, reason: str) -> None:
        """Say of missing time why it cannot be filled; what is not missing stays."""
        hole = Interval(start, end, Kind.MISSING, self.interval, reason=reason)
        await self.database.write(writing.claim_locked, ticker, hole, unrecorded(self.interval))

    async def make_candles(self) -> None:
        """Make the candles of stored prices that have none yet."""
        for ticker in await self.tickers():
            while await self.database.write(writing.catch_up, ticker, self.interval, CHUNK):
                pass

    async def prune(self, prices_before: int | None, candles_before: Mapping[int, int]) -> None:
        """Delete prices older than a moment, a day at a time, and candles of a resolution older than theirs."""
        if prices_before is not None:
            for ticker in await self.tickers():
                while await self.database.write(writing.prune_prices, ticker, prices_before):
                    pass
        async with self.reading() as reader:
            recorded = await reader.ask(reading.recorded)  # candles outlive the prices they were made of
        for ticker, (resolution, before) in product(recorded, candles_before.items()):
            while await self.database.write(writing.prune_candles, ticker, resolution, before):
                pass

    async def tidy(self) -> None:
        """Let the database look after itself: SQLite's log into its file, and fresh statistics."""
        if self.database.dialect == "sqlite":
            async with self._outside_transactions() as connection:
                await connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
                await connection.execute(text("PRAGMA analysis_limit = 1000"))  # else it reads, and locks, everything
                await connection.execute(text("ANALYZE"))

    async def jobs(self) -> dict[str, tuple[int, int]]:
        """Of each daily job the midnight of its last run, and when it ended, UNIX seconds."""
        async with self.reading() as reader:
            return await reader.ask(reading.jobs)

    async def finish_job(self, name: str, day: int, finished: int) -> None:
        """Note that a daily job ended well."""
        await self.database.write(writing.finish_job, name, day, finished)

    async def session(self) -> AsyncIterator[Reader]:
        """A reader on a pooled connection, for `Depends(store.session)`; given back when the request ends."""
        reader = Reader(self.database)
        try:
            yield reader
        finally:
            with anyio.CancelScope(shield=True):
                await reader.close()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Reader]:
        """The same reader for an `async with`."""
        reader = Reader(self.database)
        try:
            yield reader
        finally:
            with anyio.CancelScope(shield=True):
                await reader.close()

    async def latest(self, ticker: str) -> Price | None:
        """The newest stored price of the ticker."""
        async with self.reading() as reader:
            return await reader.latest(ticker)

    async def prices(self, ticker: str, **wanted: Unpack[PageWanted]) -> Page:
        """A page of stored prices; see `Reader.prices`."""
        async with self.reading() as reader:
            return await reader.prices(ticker, **wanted)

    async def tickers(self) -> list[str]:
        """Every ticker that has stored prices, sorted."""
        async with self.reading() as reader:
            return await reader.tickers()

    async def known(self, ticker: str) -> bool:
        """Whether the ticker has stored prices."""
        async with self.reading() as reader:
            return await reader.known(ticker)

    async def coverage(self, ticker: str, start: int, end: int) -> Coverage:
        """What is known of a range: observed, backfilled, missing and why."""
        async with self.reading() as reader:
            return await reader.coverage(ticker, start, end)

    async def holes(self, since: int) -> list[Hole]:
        """Every missing interval that ends after a moment, of all tickers, the newest first."""
        async with self.reading() as reader:
            return await reader.holes(since)


def _chunks(prices: Iterable[Price], size: int) -> Iterator[list[Price]]:
    rest = iter(prices)
    while chunk := list(islice(rest, size)):
        yield chunk
