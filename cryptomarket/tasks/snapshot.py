"""The snapshot as a single step: ask the exchange for the prices of now, store those whose slot is empty.

It sees one price where the recorder sees all of a slot, so it never writes over anything. It knows no scheduler.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

import structlog

from ..errors import ExchangeRefused, ExchangeUnreachable
from ..history.reading import Page
from ..model import Price, Tick

__all__ = ["SOURCE", "SnapshotStore", "snapshot"]

log = structlog.get_logger(__name__)

#: What a row says of where it comes from.
SOURCE = "snapshot"


class SnapshotStore(Protocol):
    """Where snapshots go: `Store` is one."""

    interval: int

    async def prices(self, ticker: str, *, start: int, end: int, limit: int) -> Page: ...
    async def insert_missing(self, prices: Iterable[Price]) -> None: ...


async def snapshot(
    store: SnapshotStore,
    newest: Callable[[str], Awaitable[Tick | None]],
    tickers: Sequence[str],
    *,
    wall: Callable[[], float] = time.time,
) -> int:
    """Store the price of now of each ticker whose slot is still empty; how many were asked for and found.

    Where every slot is filled, or no ticker is named, the exchange is not asked. A ticker it refuses costs no other.
    Raises ExchangeUnreachable, after storing what came before, and DatabaseUnavailable; both may pass.
    """
    wanted = [ticker for ticker in tickers if not await _filled(store, ticker, wall())]
    rows: list[Price] = []
    try:
        for ticker in wanted:
            tick = await _asked(newest, ticker)
            if tick is not None:
                rows.append(_row(tick, store.interval))
    finally:
        await store.insert_missing(rows)
    return len(rows)


async def _filled(store: SnapshotStore, ticker: str, now: float) -> bool:
    # By our own clock, which may be wrong: then a question too many or too few is asked, but the slot of a price is
    # always that of the exchange's time.
    slot = int(now) - int(now) % store.interval
    page = await store.prices(ticker, start=slot, end=slot + store.interval, limit=1)
    return bool(page.data)


async def _asked(newest: Callable[[str], Awaitable[Tick | None]], ticker: str) -> Tick | None:
    try:
        return await newest(ticker)
    except ExchangeUnreachable:
        raise
    except ExchangeRefused as exc:
        log.warning("the exchange has no price of a ticker", ticker=ticker, reason=str(exc))
        return None


def _row(tick: Tick, interval: int) -> Price:
    return Price(tick.ticker, tick.slot(interval), tick.price, tick.exchange_timestamp, SOURCE)
