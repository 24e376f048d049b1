"""The snapshot as a single step: request the current prices, store those whose slot is empty. It knows no scheduler.

It sees one price where the recorder sees all ticks of a slot, so it never replaces a row.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from ..database.engine import Database
from ..errors import ExchangeRefused
from ..history import prices
from ..history.pages import PageQuery
from ..history.slots import slot_price
from ..history.writer import HistoryWriter
from ..model import Price, Tick

__all__ = ["SOURCE", "snapshot"]

log = structlog.get_logger(__name__)

#: The stored source of a snapshot's price.
SOURCE = "snapshot"


async def snapshot(
    writer: HistoryWriter,
    newest: Callable[[str], Awaitable[Tick | None]],
    tickers: Sequence[str],
    *,
    wall: Callable[[], float] = time.time,
) -> int:
    """Store the current price of each ticker whose slot is empty; returns how many prices the exchange returned.

    A ticker whose slot is filled is not requested. A ticker that the exchange refuses is logged and left out. Raises
    ExchangeUnreachable, after storing what came before it, and DatabaseUnavailable; both may pass.
    """
    missing = [ticker for ticker in tickers if not await _is_filled(writer.database, ticker, writer.interval, wall())]
    rows: list[Price] = []
    try:
        for ticker in missing:
            tick = await _newest_or_none(newest, ticker)
            if tick is not None:
                rows.append(slot_price(tick, writer.interval, source=SOURCE, epoch=0))
    finally:
        await writer.insert_missing(rows)
    return len(rows)


async def _is_filled(database: Database, ticker: str, interval: int, now: float) -> bool:
    # Our own clock may be wrong: then a request too many or too few is made. The slot of a stored price is always that
    # of the exchange's time.
    slot = int(now) - int(now) % interval
    page = await database.read(prices.page, PageQuery(ticker, slot, slot + interval, limit=1))
    return bool(page.data)


async def _newest_or_none(newest: Callable[[str], Awaitable[Tick | None]], ticker: str) -> Tick | None:
    try:
        return await newest(ticker)
    except ExchangeRefused as exc:
        log.warning("ticker refused by the exchange", ticker=ticker, reason=str(exc))
        return None
