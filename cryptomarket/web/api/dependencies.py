"""What the REST routes read, as small interfaces, and the ticker parameter that every price route shares."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import Depends
from starlette.responses import Response

from ...errors import UnknownTicker
from ...history.candles import CandleText
from ...history.intervals import Coverage
from ...history.queries import Form, Order
from ...history.reading import TextPage
from ...model import Price
from .parameters import Ticker

__all__ = ["HistoryReader", "PriceStore", "TickerCatalogue", "TickerNames", "json_response", "known_ticker"]


class TickerCatalogue(Protocol):
    """The tickers of the exchange, as of the last refresh."""

    def known(self, name: str) -> bool: ...
    def nearest(self, name: str) -> list[str]: ...
    def names(self) -> Iterable[str]: ...


class HistoryReader(Protocol):
    """Reads the history through one pooled connection."""

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
    """Lends readers: ``session`` as a FastAPI dependency, ``reading`` as a context manager."""

    def session(self) -> AsyncIterator[HistoryReader]: ...
    def reading(self) -> AbstractAsyncContextManager[HistoryReader]: ...


@dataclass(frozen=True, slots=True)
class TickerNames:
    """The tickers that can be requested: configured, in the catalogue, or stored."""

    configured: Sequence[str]
    catalogue: TickerCatalogue

    def search(self, text: str) -> list[str]:
        """The names that contain the text in any case: the configured ones first, then the others in order."""
        names = dict.fromkeys([*self.configured, *sorted(self.catalogue.names())])
        return [name for name in names if text.casefold() in name.casefold()]

    async def check(self, ticker: str, reader: HistoryReader) -> str:
        """The same ticker; raises UnknownTicker with the nearest names."""
        if ticker in self.configured or self.catalogue.known(ticker) or await reader.known(ticker):
            return ticker
        raise UnknownTicker(ticker, self.catalogue.nearest(ticker))


def known_ticker(names: TickerNames, store: PriceStore) -> Callable[..., Coroutine[Any, Any, str]]:
    """The FastAPI dependency that returns the parameter `ticker`; it raises UnknownTicker."""
    Reader = Annotated[HistoryReader, Depends(store.session)]  # noqa: N806 - a type

    async def checked(ticker: Ticker, reader: Reader) -> str:
        return await names.check(ticker, reader)

    return checked


def json_response(body: str | msgspec.Struct | Sequence[msgspec.Struct], status: int = 200) -> Response:
    """A response of a model, or of JSON that is already encoded; caches must not store it."""
    text = body if isinstance(body, str) else msgspec.json.encode(body, enc_hook=str)
    return Response(text, status, headers={"Cache-Control": "no-store"}, media_type="application/json")
