"""The snapshot: request the current prices of many tickers at once, and store those whose slot is empty.

The leader, the Celery task and `cryptomarket snapshot` call it. It sees one price where the recorder sees all ticks of
a slot, so it never replaces a row. It knows no HTTP: the exchange is passed in.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio
from sqlalchemy import Connection

from ..deribit.error_codes import error_code
from ..errors import ExchangeError, ExchangeRefused
from ..model import Price, Source, Tick, is_index
from . import prices
from .intervals import MissingReasons
from .slots import slot_price
from .writer import HistoryWriter, insert_missing

__all__ = ["TICKER_SECONDS", "TRY_SECONDS", "PriceSource", "Snapshot", "take_snapshot"]

#: Requests that wait for their answer at once: more than the exchange answers while the next ones wait for credits.
AT_ONCE = 16
#: How long a snapshot may take: for the slowest answer, and for the credits of each ticker.
ANSWER_SECONDS, TICKER_SECONDS = 30.0, 0.2
#: The time-out of one request that leaves time for a second and a third.
TRY_SECONDS = 10.0


class PriceSource(Protocol):
    """The exchange's current prices. Both methods raise ExchangeRefused or ExchangeUnreachable."""

    async def newest(self, ticker: str, /) -> Tick | None:
        """The current price of a ticker, None while it has none; that of an index has the time of the answer."""

    async def locked(self, indices: Collection[str], /) -> frozenset[str]:
        """Those of the indices that are locked now."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one snapshot stored, and by ticker why it could not.

    `refused`: the exchange has no price of the ticker now. `failed`: the same request may succeed later. A ticker whose
    slot was filled is in none of the three.
    """

    stored: Sequence[Price] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)


async def take_snapshot(
    writer: HistoryWriter,
    source: PriceSource,
    tickers: Collection[str],
    *,
    reasons: MissingReasons = MissingReasons(),  # noqa: B008 - a frozen value
    seconds: float | None = None,
    wall: Callable[[], float] = time.time,
) -> Snapshot:
    """Store the current price of each ticker whose slot is empty.

    A ticker whose slot is filled is not requested, and without tickers nothing is. What was answered within `seconds`
    is stored, whatever happens to the others; by default they are enough for the credits of all tickers. The ledger
    enters the time missing before a price with its `reasons`. Raises DatabaseUnavailable.
    """
    if not tickers:
        return Snapshot()
    # Our own clock may be wrong: then a request too many or too few is made. The slot of a stored price is always that
    # of the exchange's time.
    step, now = writer.interval, int(wall())
    slot = now - now % step
    filled = {price.ticker for price in await writer.database.read(prices.between, [*tickers], slot, slot + step)}
    missing = [ticker for ticker in dict.fromkeys(tickers) if ticker not in filled]
    answers = await _ask(
        source, missing, ANSWER_SECONDS + TICKER_SECONDS * len(missing) if seconds is None else seconds
    )
    ticks = [answer for answer in answers.values() if isinstance(answer, Tick)]
    rows = [slot_price(tick, step, source=Source.SNAPSHOT, epoch=0) for tick in ticks]
    stored = await writer.database.write(_store, rows, step, reasons) if rows else ()
    failures = {ticker: answer for ticker, answer in answers.items() if isinstance(answer, _Failure)}
    return Snapshot(
        stored,
        refused={ticker: failure.reason for ticker, failure in failures.items() if not failure.passes},
        failed={ticker: failure.reason for ticker, failure in failures.items() if failure.passes},
    )


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    passes: bool

    @classmethod
    def of(cls, error: ExchangeError) -> "_Failure":
        """An error of the exchange; what is not an answer of its passes."""
        return cls(str(error), error_code(error.code).passes if isinstance(error, ExchangeRefused) else True)


async def _ask(source: PriceSource, tickers: Sequence[str], seconds: float) -> dict[str, Tick | _Failure]:
    """The price of each ticker, all requested at once, or why there is none.

    The price of a locked index stands still and carries no time, so it is no price of this moment. While the exchange
    cannot say which indices are locked, their prices are not used; one that never says it locks none.
    """
    late = _Failure(f"no answer within {seconds:.0f} s", passes=True)
    answers: dict[str, Tick | _Failure] = dict.fromkeys(tickers, late)
    indices = [ticker for ticker in tickers if is_index(ticker)]
    locked: frozenset[str] | _Failure = late
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def ask(ticker: str) -> None:
        async with limit:
            try:
                answers[ticker] = await source.newest(ticker) or _Failure("no price yet", passes=False)
            except ExchangeError as exc:
                answers[ticker] = _Failure.of(exc)

    async def ask_what_is_locked() -> None:
        nonlocal locked
        try:
            locked = await source.locked(indices)
        except ExchangeError as exc:
            failure = _Failure.of(exc)
            locked = failure if isinstance(exc, ExchangeRefused) and failure.passes else frozenset()

    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            if indices:
                tasks.start_soon(ask_what_is_locked)
            for ticker in tickers:
                tasks.start_soon(ask, ticker)
    for ticker in indices:
        if isinstance(answers[ticker], Tick):
            if isinstance(locked, _Failure):
                answers[ticker] = locked
            elif ticker in locked:
                answers[ticker] = _Failure("locked by the exchange", passes=False)
    return answers


def _store(connection: Connection, rows: Sequence[Price], step: int, reasons: MissingReasons) -> Sequence[Price]:
    """Insert the rows whose slot is empty and not pruned; returns those that were inserted."""
    insert_missing(connection, rows, step, reasons)
    slots = [row.timestamp for row in rows]
    found = set(prices.between(connection, [row.ticker for row in rows], min(slots), max(slots) + 1))
    return tuple(row for row in rows if row in found)
