"""What the REST routes read, as small interfaces, and the two dependencies that every price route has."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Depends
from starlette.responses import Response

from ...errors import UnknownTicker
from ...history.candles import RESOLUTIONS, CandleText, MinuteBar
from ...history.intervals import Coverage
from ...history.queries import Form
from ...history.reading import TextPage
from ...market.latest import LatestValues
from ...model import Price
from .caching import Kept
from .pagination import Order, closed, due_part
from .parameters import Ticker
from .time_range import Range

__all__ = ["Dependencies", "HistoryReader", "PriceStore", "TickerCatalogue", "json_answer", "known_ticker", "no_bars"]


class TickerCatalogue(Protocol):
    """The tickers the exchange offers, as far as they are known."""

    def known(self, name: str) -> bool: ...
    def nearest(self, name: str) -> list[str]: ...
    def names(self) -> Iterable[str]: ...


class HistoryReader(Protocol):
    """What is asked of the history, through one pooled connection."""

    async def known(self, ticker: str) -> bool: ...
    async def latest(self, ticker: str) -> Price | None: ...
    async def span(self, ticker: str) -> tuple[int, int] | None: ...
    async def coverage(self, ticker: str, start: int, end: int) -> Coverage: ...
    async def text_page(
        self,
        form: Form,
        ticker: str,
        *,
        start: int | None,
        end: int | None,
        limit: int,
        after: int | None,
        order: Order,
    ) -> TextPage: ...
    async def first_candle(self, ticker: str, resolution: str) -> int | None: ...
    async def candles(
        self,
        ticker: str,
        resolution: str,
        *,
        start: int | None,
        end: int | None,
        limit: int,
        after: int | None,
        order: Order,
    ) -> Sequence[CandleText]: ...
    async def candle_text(
        self,
        ticker: str,
        resolution: str,
        *,
        start: int | None,
        end: int | None,
        limit: int,
        after: int | None,
        order: Order,
    ) -> TextPage | None: ...


class PriceStore(Protocol):
    """Gives each request its own reader of the pool, and takes it back."""

    def session(self) -> AsyncIterator[HistoryReader]: ...
    def reading(self) -> AbstractAsyncContextManager[HistoryReader]: ...


def no_bars(_: str) -> Sequence[MinuteBar]:
    """Nothing is being recorded here."""
    return ()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What the REST routes read; ``bars`` gives the minutes of a ticker that are not stored yet."""

    tickers: Sequence[str]
    latest: LatestValues
    store: PriceStore
    catalogue: TickerCatalogue
    interval: int
    wall: Callable[[], float]
    bars: Callable[[str], Sequence[MinuteBar]] = no_bars

    async def check(self, ticker: str, db: HistoryReader) -> str:
        """The ticker, if it is configured, in the catalogue or stored; raises UnknownTicker."""
        if ticker in self.tickers or self.catalogue.known(ticker) or await db.known(ticker):
            return ticker
        raise UnknownTicker(ticker, self.catalogue.nearest(ticker))

    async def complete(self, ticker: str, within: Range, db: HistoryReader, resolution: str | None = None) -> bool:
        """Whether nothing is missing from the part of the range that could be recorded by now.

        With a resolution also none of its candles, which may be kept for a shorter time than the prices.
        """
        part = due_part(within, await db.span(ticker), step=self.interval, now=self.wall())
        if part is None:
            return False
        start, end = part
        if start >= end:
            return True
        if resolution is not None:
            first = await db.first_candle(ticker, resolution)
            if first is None or first >= start + max(self.interval, RESOLUTIONS[resolution]):
                return False
        return (await db.coverage(ticker, start, end)).complete

    def kept(self, within: Range, complete: bool) -> Kept:
        """How the answer about a range may be kept: for ever only if neither its end nor its beginning can grow."""
        over = closed(within, step=self.interval, now=self.wall())
        return Kept(closed=over, complete=complete and within.start is not None)


def known_ticker(parts: Dependencies) -> Callable[..., Coroutine[Any, Any, str]]:
    """The dependency that gives the ticker asked for, if it is configured, in the catalogue or stored."""

    async def ticker_of(ticker: Ticker, db: Annotated[Any, Depends(parts.store.session)]) -> str:
        return await parts.check(ticker, db)

    return ticker_of


def json_answer(text: str) -> Response:
    """JSON that is already written; prices change, so nobody keeps it."""
    return Response(text, headers={"Cache-Control": "no-store"}, media_type="application/json")
