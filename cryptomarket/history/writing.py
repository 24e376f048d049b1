"""The writes, each inside the transaction it is given: rows, the ledger and the candles move together or not at all.

Plain synchronous functions over a connection: the gateway runs them on its pool, the command line and Celery directly.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise

from sqlalchemy import Connection

from ..model import Price
from . import queries, statements
from .candles import MINUTE, RESOLUTIONS, Candle, MinuteBar, clusters, combine, fold, minute
from .intervals import Interval, Kind, Reason, kept_since, pruned, record, runs

__all__ = [
    "Why",
    "catch_up",
    "claim",
    "claim_locked",
    "correct",
    "finish_job",
    "insert_missing",
    "prune_candles",
    "prune_prices",
    "roll_up",
    "take_epoch",
    "unrecorded",
    "write_live",
]

#: Explains a hole of a ticker: (ticker, start, end) to missing intervals that fill it exactly.
Why = Callable[[str, int, int], Sequence[Interval]]

#: Minutes further apart than this are rolled up by queries of their own.
APART = 3_600
DAY = 86_400
#: Candles of one transaction, so that a first clearing out neither times out nor holds the writer's lock.
PRUNED_AT_ONCE = 5_000


def unrecorded(step: int) -> Why:
    """The explanation of those who know no better: nobody recorded then."""
    return lambda _, start, end: [Interval(start, end, Kind.MISSING, step, reason=Reason.UNRECORDED)]


def take_epoch(connection: Connection) -> int:
    """Count the epoch up and return it."""
    epoch: int = connection.execute(statements.next_epoch()).scalar_one()
    return epoch


def write_live(
    connection: Connection, rows: Sequence[Price], parts: Sequence[MinuteBar], epoch: int, step: int, why: Why
) -> bool:
    """Write what we heard ourselves: prices, the bars of their minutes, the ledger, the candles.

    False, with nothing written, when a newer leader has taken over. Writing the same again changes nothing.
    """
    if connection.execute(statements.fence(epoch)).first() is None:
        return False
    _lock(connection)
    dialect = connection.dialect.name
    minutes: dict[str, set[int]] = defaultdict(set)
    if rows:
        connection.execute(statements.write_live(dialect, epoch), statements.parameters(rows))
        _observe(connection, rows, step, why)
        if step >= MINUTE:  # shorter slots wait for the bar of their minute
            for row in rows:
                minutes[row.ticker].add(minute(row.exchange_timestamp))
    if parts:
        connection.execute(statements.write_bars(dialect), statements.bar_rows(parts))
        for part in parts:
            minutes[part.ticker].add(part.timestamp)
    roll_up(connection, minutes, step)
    return True


def insert_missing(connection: Connection, rows: Sequence[Price], step: int) -> None:
    """Insert prices where nothing stands, enter them into the ledger as filled in, and correct the candles.

    What was pruned stays so: its candles could not be made again of the few prices that would come back.
    """
    _lock(connection)
    rows = _not_pruned(connection, rows)
    if not rows:
        return
    connection.execute(statements.insert_missing(connection.dialect.name), statements.parameters(rows))
    slots: dict[tuple[str, str], list[int]] = defaultdict(list)
    minutes: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        slots[row.ticker, str(row.source)].append(row.timestamp)
        minutes[row.ticker].add(minute(row.exchange_timestamp))
    for (ticker, source), of_source in slots.items():
        for start, end in runs(of_source, step):
            claim(connection, ticker, Interval(start, end, Kind.BACKFILLED, step, source=source), unrecorded(step))
    _take_whole_days(connection, minutes)
    roll_up(connection, minutes, step)


def correct(connection: Connection, rows: Sequence[Price], step: int) -> None:
    """Give live rows the last price of their slot where their writer died before it wrote that; others stay."""
    _lock(connection)
    minutes: dict[str, set[int]] = defaultdict(set)
    for row in rows:
        if connection.execute(statements.correct(), statements.correction(row)).rowcount:
            minutes[row.ticker].add(minute(row.exchange_timestamp))
    roll_up(connection, minutes, step)


def _not_pruned(connection: Connection, rows: Sequence[Price]) -> list[Price]:
    tickers = {row.ticker for row in rows}
    since = {name: kept_since(connection.execute(statements.pruned_until(name)).scalar()) for name in tickers}
    return [row for row in rows if row.timestamp >= since[row.ticker]]


def _take_whole_days(connection: Connection, minutes: Mapping[str, set[int]]) -> None:
    """Where shorter candles were pruned before the longer ones, these are made of every minute of their day."""
    for ticker, of_ticker in minutes.items():
        for day in {moment - moment % DAY for moment in of_ticker}:
            counts = connection.execute(statements.candle_counts(ticker, day, day + DAY)).scalars().all()
            if counts and (len(counts) < len(RESOLUTIONS) or len(set(counts)) > 1):
                of_ticker.update(range(day, day + DAY, MINUTE))


def catch_up(connection: Connection, ticker: str, step: int, most: int) -> bool:
    """Make the candles a killed process left unmade, at most so many rows at once; False when there are none left."""
    last = connection.execute(queries.last_candle(), {"ticker": ticker, "resolution": MINUTE}).scalar()
    _lock(connection)
    since = None if last is None else last - max(step, MINUTE) - 1
    asked = queries.bounds(ticker, None, None, since, most, "asc")
    rows = [Price(*row) for row in connection.execute(queries.page("asc"), asked)]
    roll_up(connection, {ticker: {minute(row.exchange_timestamp) for row in rows}}, step)
    return len(rows) == most


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(statements.lock_ledger())


def _observe(connection: Connection, rows: Sequence[Price], step: int, why: Why) -> None:
    """Enter slots into the ledger; those that follow the last entry of their ticker share one statement."""
    slots: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        slots[row.ticker].append(row.timestamp)
    together: dict[tuple[int, int], list[str]] = defaultdict(list)
    for ticker, of_ticker in slots.items():
        for run in runs(of_ticker, step):
            together[run].append(ticker)
    for (start, end), tickers in sorted(together.items()):
        extended = set(connection.execute(statements.extend_observed(tickers, start, end, step)).scalars())
        for ticker in tickers:
            if ticker not in extended:
                claim(connection, ticker, Interval(start, end, Kind.OBSERVED, step), why)


def claim_locked(connection: Connection, ticker: str, new: Interval, why: Why) -> None:
    """Enter one claim in a transaction that does nothing else."""
    _lock(connection)
    claim(connection, ticker, new, why)


def claim(connection: Connection, ticker: str, new: Interval, why: Why) -> None:
    """Enter one claim into the ledger of a ticker, where a stronger one does not stand."""
    entries = _intervals(connection.execute(statements.neighbours(ticker, new.start, new.end)))
    _change(connection, ticker, entries, record(entries, new, partial(why, ticker)))


def _change(connection: Connection, ticker: str, entries: Sequence[Interval], after: Sequence[Interval]) -> None:
    gone = [entry for entry in entries if entry not in after]
    come = [entry for entry in after if entry not in entries]
    if gone:
        connection.execute(statements.forget_entries(), statements.entry_keys(ticker, gone))
    if come:
        connection.execute(statements.enter_entries(), statements.entry_rows(ticker, come))


def _intervals(rows: Iterable[Sequence[object]]) -> list[Interval]:
    return [Interval(row[1], row[2], Kind(row[3]), *row[4:]) for row in rows]  # type: ignore[arg-type]


def roll_up(connection: Connection, minutes: Mapping[str, set[int]], step: int) -> None:
    """Compute the candles of these minutes again, and every longer candle they are part of."""
    if not any(minutes.values()):
        return
    _write(connection, MINUTE, _folded(connection, minutes, step))
    for shorter, longer in pairwise(RESOLUTIONS.values()):
        buckets = {ticker: {m - m % longer for m in of_ticker} for ticker, of_ticker in minutes.items()}
        _write(connection, longer, _combined(connection, buckets, shorter, longer))


def _write(connection: Connection, resolution: int, found: Mapping[str, list[Candle]]) -> None:
    rows = [row for ticker, parts in found.items() for row in statements.candle_rows(ticker, resolution, parts)]
    if rows:
        connection.execute(statements.write_candles(connection.dialect.name), rows)


def _queries(moments: Mapping[str, set[int]], apart: int) -> Iterable[tuple[list[str], int, int]]:
    """The moments of all tickers as few queries: (tickers, first, last)."""
    for first, last in clusters({m for of_ticker in moments.values() for m in of_ticker}, apart):
        yield [t for t, of_ticker in moments.items() if any(first <= m <= last for m in of_ticker)], first, last


def _folded(connection: Connection, minutes: Mapping[str, set[int]], step: int) -> dict[str, list[Candle]]:
    found: dict[str, list[Candle]] = defaultdict(list)
    longest = max(step - MINUTE, 0)  # a slot longer than a minute may hold a price of one of its later minutes
    for tickers, first, last in _queries(minutes, APART):
        heard: dict[tuple[str, int], list[MinuteBar]] = defaultdict(list)
        for row in connection.execute(statements.bars_between(tickers, first, last + MINUTE)):
            heard[row[0], row[1]].append(MinuteBar(*row))
        stored: dict[tuple[str, int], list[Price]] = defaultdict(list)
        for row in connection.execute(statements.prices_between(tickers, first - longest, last + MINUTE)):
            stored[row[0], minute(row[3])].append(Price(*row))
        for ticker in tickers:
            for moment in sorted(m for m in minutes[ticker] if first <= m <= last):
                candle = fold(moment, heard[ticker, moment], stored[ticker, moment])
                if candle is not None:
                    found[ticker].append(candle)
    return found


def _combined(
    connection: Connection, buckets: Mapping[str, set[int]], shorter: int, longer: int
) -> dict[str, list[Candle]]:
    found: dict[str, list[Candle]] = defaultdict(list)
    for tickers, first, last in _queries(buckets, max(APART, longer)):
        parts: dict[tuple[str, int], list[Candle]] = defaultdict(list)
        for row in connection.execute(statements.candles_between(tickers, shorter, first, last + longer)):
            parts[row[0], row[2] - row[2] % longer].append(Candle(*row[2:]))
        for ticker in tickers:
            for bucket in buckets[ticker]:
                if first <= bucket <= last and parts[ticker, bucket]:
                    found[ticker].append(combine(bucket, parts[ticker, bucket]))
    return found


def prune_prices(connection: Connection, ticker: str, before: int) -> bool:
    """Delete the oldest day of a ticker's prices and bars before a moment; False when there are none left.

    The ledger says from then on that they were pruned, never that they are there.
    """
    _lock(connection)
    first = connection.execute(statements.first_price(ticker)).scalar()
    if first is None or first >= before:
        return False
    end = min(first - first % DAY + DAY, before)
    connection.execute(statements.prune_prices(ticker, first, end))
    connection.execute(statements.prune_bars(ticker, 0, end))
    entries = _intervals(connection.execute(statements.neighbours(ticker, first, end)))
    _change(connection, ticker, entries, pruned(entries, end))
    return True


def prune_candles(connection: Connection, ticker: str, resolution: int, before: int) -> bool:
    """Delete the oldest candles of a ticker before a moment, some thousand at once; False when there are none left."""
    first = connection.execute(queries.first_candle(), {"ticker": ticker, "resolution": resolution}).scalar()
    if first is None or first >= before:
        return False
    connection.execute(statements.prune_candles(ticker, resolution, min(first + PRUNED_AT_ONCE * resolution, before)))
    return True


def finish_job(connection: Connection, name: str, day: int, finished: int) -> None:
    """Note that a daily job ended well."""
    connection.execute(statements.finish_job(connection.dialect.name, name, day, finished))
