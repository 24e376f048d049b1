"""The REST API of prices, under /api/v1: typed parameters in, exact decimals out.

It asks the board for the newest price, the store for all others, and knows neither where they come from nor how.
"""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...model import is_index
from .caching import history_answer, next_link
from .dependencies import Dependencies, HistoryReader, json_answer, known_ticker
from .pagination import PageParameters, after, cursor, list_json
from .parameters import Cursor, Direction, Limit, Moment, NameLimit, Search, StartDate
from .problems import NoPriceYet
from .schemas import LIST, NAMES, ONE, PROBLEMS
from .time_range import asked_range

__all__ = ["price_router"]


def price_router(parts: Dependencies) -> APIRouter:
    """The routes of prices over the given parts."""
    router = APIRouter(prefix="/api/v1", tags=["prices"], responses=PROBLEMS)
    Database = Annotated[Any, Depends(parts.store.session)]  # noqa: N806 - a type; FastAPI need not know `Prices`
    Known = Annotated[str, Depends(known_ticker(parts))]  # noqa: N806 - a type

    async def answer(request: Request, ticker: str, asked: PageParameters, db: HistoryReader) -> Response:
        within = asked.within
        page = await db.text_page(
            "json",
            ticker,
            start=within.start,
            end=within.end,
            limit=asked.limit,
            after=asked.after,
            order=asked.order,
        )
        complete = await parts.complete(ticker, within, db)
        following = None if page.next is None else cursor(page.next, asked.order)
        text = list_json(ticker, page.text, following=following, complete=complete)
        return history_answer(request, text, parts.kept(within, complete), link=next_link(request, following))

    @router.get("/prices", summary="Stored prices", responses=LIST, response_class=Response)
    async def prices(
        request: Request,
        ticker: Known,
        db: Database,
        start: Moment = None,
        end: Moment = None,
        limit: Limit = 1000,
        cursor: Cursor = None,
        order: Direction = "asc",
    ) -> Response:
        """One price per slot, page by page: `next` is the `cursor` of the following page, `null` on the last.

        `complete` says whether every slot of the range that is due is there. A closed range carries an ETag.
        """
        return await answer(
            request, ticker, PageParameters(asked_range(start, end), order, limit, after(cursor, order)), db
        )

    @router.get("/prices/filter", summary="Stored prices by date", responses=LIST, response_class=Response)
    async def prices_by_date(
        request: Request,
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
        return await answer(request, ticker, PageParameters(within, order, limit, after(cursor, order)), db)

    @router.get("/prices/latest", summary="The newest price", responses=ONE, response_class=Response)
    async def latest_price(ticker: Known, db: Database) -> Response:
        """The newest tick as the stream would say it, or the newest stored price when none arrived since the start."""
        newest = parts.latest.tick(ticker) or await db.latest(ticker)
        if newest is None:
            raise NoPriceYet(ticker)
        return json_answer(newest.json())

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
        return json_answer(json.dumps({"complete": len(found) <= limit, "data": data}))

    return router
