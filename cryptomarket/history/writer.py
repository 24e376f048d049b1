"""Everything that writes history: each function is one transaction over prices, ledger and candles together."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, product

from sqlalchemy import Connection

from ..database.engine import Database
from ..database.lease import is_newest_epoch
from ..database.locks import LEDGER_LOCK, lock_until_commit
from ..model import Price
from . import candles_table, ledger, prices
from .candles import MINUTE, MinuteBar, minute
from .intervals import Interval, Kind, MissingReasons, runs
from .pages import PageQuery

__all__ = ["HistoryWriter", "insert_missing"]

DAY = 86_400
#: Rows of one transaction: enough to be fast, few enough to hold neither the event loop nor the writer's lock.
CHUNK_ROWS = 1_000


class HistoryWriter:
    """Writes into the history of one database, whose slots are `interval` seconds long.

    Every method raises DatabaseUnavailable; what it had committed by then stays.
    """

    def __init__(self, database: Database, interval: int) -> None:
        self.database = database
        self.interval = interval

    async def migrate(self) -> None:
        """Upgrade the database and make the candles that its older revision lacks. See `Database.migrate`."""
        await self.database.migrate()
        await self.make_candles()

    async def write_live(
        self,
        rows: Sequence[Price],
        epoch: int,
        *,
        bars: Sequence[MinuteBar] = (),
        reasons: MissingReasons = MissingReasons(),  # noqa: B008 - a frozen value
    ) -> bool:
        """Write prices and bars of our own connection, all or none; writing them again changes nothing.

        The ledger enters the time missing before them with its `reasons`. Returns False, with nothing written, when
        `epoch` is not the newest.
        """
        return await self.database.write(_write_live, rows, bars, epoch, self.interval, reasons)

    async def insert_missing(self, rows: Iterable[Price]) -> None:
        """Insert prices whose slot is empty, in chunks."""
        remaining = iter(rows)
        while chunk := list(islice(remaining, CHUNK_ROWS)):
            await self.database.write(insert_missing, chunk, self.interval)

    async def correct(self, rows: Sequence[Price]) -> None:
        """Replace live rows by later prices of their slots: their writer died before it wrote these."""
        if rows:
            await self.database.write(_correct, rows, self.interval)

    async def mark_missing(self, ticker: str, start: int, end: int, reason: str) -> None:
        """Give the missing time in [start, end) a reason; observed and backfilled time stays."""
        interval = Interval(start, end, Kind.MISSING, self.interval, reason=reason)
        await self.database.write(_write_interval, ticker, interval)

    async def make_candles(self) -> None:
        """Make the candles of stored prices that have none yet."""
        for ticker in await self.database.read(prices.tickers):
            while await self.database.write(_make_candles, ticker, self.interval):
                pass

    async def prune(self, prices_before: int | None, candles_before: Mapping[int, int]) -> None:
        """Delete prices before a moment (None: none), and candles before the moment of their resolution in seconds."""
        if prices_before is not None:
            for ticker in await self.database.read(prices.tickers):
                while await self.database.write(_prune_prices, ticker, prices_before):
                    pass
        recorded = await self.database.read(ledger.tickers)  # candles outlive the prices that they were made of
        for ticker, (resolution, before) in product(recorded, candles_before.items()):
            while await self.database.write(candles_table.delete_oldest, ticker, resolution, before):
                pass


def _write_live(
    connection: Connection,
    rows: Sequence[Price],
    bars: Sequence[MinuteBar],
    epoch: int,
    step: int,
    reasons: MissingReasons,
) -> bool:
    if not is_newest_epoch(connection, epoch):
        return False
    lock_until_commit(connection, LEDGER_LOCK)
    minutes: dict[str, set[int]] = defaultdict(set)
    if rows:
        prices.write_live(connection, rows, epoch)
        ledger.observe(connection, rows, step, reasons)
        if step >= MINUTE:  # a shorter slot becomes a candle with the bar of its minute
            for row in rows:
                minutes[row.ticker].add(minute(row.exchange_timestamp))
    if bars:
        candles_table.write_bars(connection, bars)
        for bar in bars:
            minutes[bar.ticker].add(bar.timestamp)
    candles_table.roll_up(connection, minutes, step)
    return True


def insert_missing(
    connection: Connection,
    rows: Sequence[Price],
    step: int,
    reasons: MissingReasons = MissingReasons(),  # noqa: B008 - a frozen value
) -> None:
    """Insert prices whose slot is empty, enter them into the ledger as backfilled, and correct the candles.

    The ledger enters the time missing between its end and a later price with its `reasons`. Pruned slots stay empty:
    the few prices that came back would spoil the candles made of all of them.
    """
    lock_until_commit(connection, LEDGER_LOCK)
    kept_since = {ticker: ledger.prunings_end(connection, ticker) for ticker in {row.ticker for row in rows}}
    rows = [row for row in rows if row.timestamp >= kept_since[row.ticker]]
    if not rows:
        return
    prices.insert_missing(connection, rows)
    slots: dict[tuple[str, str], list[int]] = defaultdict(list)
    minutes: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        slots[row.ticker, str(row.source)].append(row.timestamp)
        minutes[row.ticker].add(minute(row.exchange_timestamp))
    for (ticker, source), of_source in slots.items():
        for start, end in runs(of_source, step):
            backfilled = Interval(start, end, Kind.BACKFILLED, step, source=source)
            ledger.write_interval(connection, ticker, backfilled, reasons)
    candles_table.add_pruned_minutes(connection, minutes)
    candles_table.roll_up(connection, minutes, step)


def _correct(connection: Connection, rows: Sequence[Price], step: int) -> None:
    lock_until_commit(connection, LEDGER_LOCK)
    minutes: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if prices.correct(connection, row):
            minutes[row.ticker].add(minute(row.exchange_timestamp))
    candles_table.roll_up(connection, minutes, step)


def _write_interval(connection: Connection, ticker: str, interval: Interval) -> None:
    lock_until_commit(connection, LEDGER_LOCK)
    ledger.write_interval(connection, ticker, interval, MissingReasons())


def _make_candles(connection: Connection, ticker: str, step: int) -> bool:
    """Make candles of the next CHUNK_ROWS prices after the newest candle; False when these were the last."""
    newest = candles_table.last(connection, ticker, MINUTE)
    lock_until_commit(connection, LEDGER_LOCK)
    after = None if newest is None else newest - max(step, MINUTE) - 1
    rows = prices.page(connection, PageQuery(ticker, limit=CHUNK_ROWS, after=after)).data
    candles_table.roll_up(connection, {ticker: {minute(row.exchange_timestamp) for row in rows}}, step)
    return len(rows) == CHUNK_ROWS


def _prune_prices(connection: Connection, ticker: str, before: int) -> bool:
    """Delete the oldest day of prices and bars before a moment and mark it as pruned; False when there was none."""
    lock_until_commit(connection, LEDGER_LOCK)
    first = prices.first_slot(connection, ticker)
    if first is None or first >= before:
        return False
    end = min(first - first % DAY + DAY, before)
    prices.delete_between(connection, ticker, first, end)
    candles_table.delete_bars_before(connection, ticker, end)
    ledger.prune(connection, ticker, first, end)
    return True
