"""What the REST routes read, as small interfaces, and the ticker parameter that every price route shares."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, Protocol, TypeVar

import msgspec
from fastapi import Depends
from sqlalchemy import Connection
from starlette.responses import Response

from ...errors import UnknownTicker
from ...history.prices import is_stored
from ...model import Instrument
from .parameters import Ticker

__all__ = ["HistoryDatabase", "HistoryReader", "TickerCatalogue", "TickerNames", "json_response", "known_ticker"]


P = ParamSpec("P")
T = TypeVar("T")


class TickerCatalogue(Protocol):
    """The tickers of the exchange, as of the last refresh."""

    def known(self, name: str) -> bool: ...
    def nearest(self, name: str) -> list[str]: ...
    def search(self, text: str) -> Iterator[str]: ...

    @property
    def fetched(self) -> bool: ...
    def instruments(self, after: str = "") -> Iterator[Instrument]: ...
    def known_index(self, name: str) -> bool: ...
    def nearest_index(self, name: str) -> list[str]: ...


class HistoryReader(Protocol):
    """Runs the reading functions of `history` on one pooled connection."""

    async def read(
        self, function: Callable[Concatenate[Connection, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...


class HistoryDatabase(Protocol):
    """Lends readers: ``session`` as a FastAPI dependency, ``reading`` as a context manager."""

    def session(self) -> AsyncIterator[HistoryReader]: ...
    def reading(self) -> AbstractAsyncContextManager[HistoryReader]: ...


@dataclass(frozen=True, slots=True)
class TickerNames:
    """The tickers that can be requested: in the catalogue (the configured ones until it is read), or stored."""

    configured: Sequence[str]
    catalogue: TickerCatalogue

    def search(self, text: str) -> Iterator[str]:
        """The names that contain the text in any case: the configured ones first, then the others in order."""
        folded, configured = text.lower(), dict.fromkeys(self.configured)
        yield from (name for name in configured if folded in name.lower() and self.catalogue.known(name))
        yield from (name for name in self.catalogue.search(text) if name not in configured)

    async def check(self, ticker: str, reader: HistoryReader) -> str:
        """The same ticker; raises UnknownTicker with the nearest names."""
        if self.catalogue.known(ticker) or await reader.read(is_stored, ticker):
            return ticker
        raise UnknownTicker(ticker, self.catalogue.nearest(ticker))


def known_ticker(names: TickerNames, database: HistoryDatabase) -> Callable[..., Coroutine[Any, Any, str]]:
    """The FastAPI dependency that returns the parameter `ticker`; it raises UnknownTicker."""
    Reader = Annotated[HistoryReader, Depends(database.session)]  # noqa: N806 - a type

    async def checked(ticker: Ticker, reader: Reader) -> str:
        return await names.check(ticker, reader)

    return checked


def json_response(body: str | msgspec.Struct | Sequence[msgspec.Struct], status: int = 200) -> Response:
    """A response of a model, or of JSON that is already encoded; caches must not store it."""
    text = body if isinstance(body, str) else msgspec.json.encode(body, enc_hook=str)
    return Response(text, status, headers={"Cache-Control": "no-store"}, media_type="application/json")
