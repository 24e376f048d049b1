"""The REST API of prices, under /api/v1: typed parameters in, exact decimals out.

It asks the board for the newest price, the store for all others, and knows neither where they come from nor how.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from ..board import Board
from ..errors import UnknownTicker
from ..model import Price, is_index
from .lists import Asked, Found, Order, after, missing_nothing, price_list
from .moments import asked_range
from .problems import NoPriceYet
from .schemas import LIST, NAMES, ONE, PROBLEMS

__all__ = ["Catalogue", "Parts", "PriceStore", "Prices", "price_router"]


class Catalogue(Protocol):
    """The tickers the exchange offers, as far as they are known."""

    def known(self, name: str) -> bool: ...
    def nearest(self, name: str) -> list[str]: ...
    def names(self) -> Iterable[str]: ...


class Prices(Protocol):
    """What is asked of the history, through one pooled connection."""

    async def known(self, ticker: str) -> bool: ...
    async def latest(self, ticker: str) -> Price | None: ...
    async def prices(
        self, ticker: str, *, start: int | None, end: int | None, limit: int, after: int | None, order: Order
    ) -> Found: ...


class PriceStore(Protocol):
    """Gives each request its own reader of the pool, and takes it back."""

    def session(self) -> AsyncIterator[Prices]: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What the API reads."""

    tickers: Sequence[str]
    board: Board
    store: PriceStore
    catalogue: Catalogue
    interval: int
    wall: Callable[[], float]


Ticker = Annotated[
    str,
    Query(
        description="An index (`btc_usd`) or an instrument (`BTC-PERPETUAL`); mandatory.",
        min_length=1,
        max_length=64,
        examples=["btc_usd"],
    ),
]
Moment = Annotated[
    str | None,
    Query(
        description="ISO 8601 or UNIX seconds or milliseconds; UTC when no zone is said. "
        "The start is included, the end is not; a bare date as the end includes that day.",
        examples=["2025-11-20", "2025-11-20T14:00:00Z", "1763647200"],
    ),
]
StartDate = Annotated[
    str,
    Query(
        description="The first moment wanted: a date, an ISO 8601 time, UNIX seconds or milliseconds.",
        examples=["2025-11-20", "1763647200"],
    ),
]
Limit = Annotated[int, Query(description="The most prices one answer holds.", ge=1, le=10_000)]
Cursor = Annotated[str | None, Query(description="The `next` of the answer before.", examples=["asc-1763647200"])]
Direction = Annotated[Order, Query(description="Oldest first (`asc`) or newest first (`desc`).")]
Search = Annotated[str, Query(description="Part of a name, in any case.", max_length=64, examples=["btc"])]
NameLimit = Annotated[int, Query(description="The most names one answer holds.", ge=1, le=10_000)]


def price_router(parts: Parts) -> APIRouter:
    """The routes of prices over the given parts."""
    router = APIRouter(prefix="/api/v1", tags=["prices"], responses=PROBLEMS)
    get_db = parts.store.session
    Database = Annotated[Any, Depends(get_db)]  # noqa: N806 - a type; it is a `Prices`, which FastAPI need not know

    async def known_ticker(ticker: Ticker, db: Database) -> str:
        """The ticker, if it is configured, in the catalogue or stored."""
        if ticker in parts.tickers or parts.catalogue.known(ticker) or await db.known(ticker):
            return ticker
        raise UnknownTicker(ticker, parts.catalogue.nearest(ticker))

    Known = Annotated[str, Depends(known_ticker)]  # noqa: N806 - a type

    async def answer(ticker: str, asked: Asked, db: Prices) -> Response:
        within = asked.within
        found = await db.prices(
            ticker, start=within.start, end=within.end, limit=asked.limit, after=asked.after, order=asked.order
        )
        complete = missing_nothing(asked, found, interval=parts.interval, now=parts.wall())
        return _json(price_list(ticker, found, order=asked.order, complete=complete))

    @router.get("/prices", summary="Stored prices", responses=LIST, response_class=Response)
    async def prices(
        ticker: Known,
        db: Database,
        start: Moment = None,
        end: Moment = None,
        limit: Limit = 1000,
        cursor: Cursor = None,
        order: Direction = "asc",
    ) -> Response:
        """One price per slot, page by page: `next` is the `cursor` of the following page, `null` on the last.

        `complete` says whether every slot of the part of the range the page covers is there.
        """
        return await answer(ticker, Asked(asked_range(start, end), order, limit, after(cursor, order)), db)

    @router.get("/prices/filter", summary="Stored prices by date", responses=LIST, response_class=Response)
    async def prices_by_date(
        ticker: Known,
        db: Database,
        start_date: StartDate,
        end_date: Moment = None,
        limit: Limit = 1000,
        cursor: Cursor = None,
        order: Direction = "asc",
    ) -> Response:
        """The same list, from `start_date` to the end of `end_date`, or to now without one."""
        within = asked_range(start_date, end_date, ("start_date", "end_date"))
        return await answer(ticker, Asked(within, order, limit, after(cursor, order)), db)

    @router.get("/prices/latest", summary="The newest price", responses=ONE, response_class=Response)
    async def latest_price(ticker: Known, db: Database) -> Response:
        """The newest tick as the stream would say it, or the newest stored price when none arrived since the start."""
        newest = parts.board.tick(ticker) or await db.latest(ticker)
        if newest is None:
            raise NoPriceYet(ticker)
        return _json(newest.json())

    @router.get("/tickers", summary="The catalogue", responses=NAMES, response_class=Response)
    async def tickers(search: Search = "", limit: NameLimit = 10_000) -> Response:
        """Every ticker that can be streamed, the configured ones first; they are always streamed and recorded."""
        names = dict.fromkeys([*parts.tickers, *sorted(parts.catalogue.names())])
        wanted = search.casefold()
        found = [name for name in names if wanted in name.casefold()]
        data = [
            {"ticker": name, "kind": "index" if is_index(name) else "instrument", "configured": name in parts.tickers}
            for name in found[:limit]
        ]
        return _json(json.dumps({"complete": len(found) <= limit, "data": data}))

    return router


def _json(text: str) -> Response:
    return Response(text, headers={"Cache-Control": "no-store"}, media_type="application/json")
