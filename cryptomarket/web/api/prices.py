"""The REST API of prices: the newest price, stored prices by range or date, and the names of tickers."""

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...history import prices as price_table
from ...history.pages import PageQuery
from ...market.latest import LatestValues
from ...model import is_index
from .caching import history_response, next_link
from .completeness import Completeness
from .dependencies import HistoryDatabase, HistoryReader, TickerNames, json_response, known_ticker
from .models import PriceListResponse, PriceResponse, TickerEntry, TickerListResponse
from .openapi import NOT_MODIFIED, PRICE_PROBLEMS, response
from .pagination import format_cursor, page_json
from .parameters import AskedFields, NameLimit, Page, PageByDate, Search
from .problems import NoPriceYet
from .time_range import TimeRange

__all__ = ["price_router"]

_LIST = response("A page of prices.", PriceListResponse) | NOT_MODIFIED
_LATEST = response("The price.", PriceResponse)
_TICKERS = response("The names.", TickerListResponse)


def price_router(
    database: HistoryDatabase, names: TickerNames, latest: LatestValues, completeness: Completeness
) -> APIRouter:
    """The routes of prices and tickers."""
    router = APIRouter(prefix="/api/v1", tags=["prices"], responses=PRICE_PROBLEMS)
    Reader = Annotated[HistoryReader, Depends(database.session)]  # noqa: N806 - a type
    KnownTicker = Annotated[str, Depends(known_ticker(names, database))]  # noqa: N806 - a type

    async def price_list(request: Request, query: PageQuery, reader: HistoryReader) -> Response:
        await names.check(query.ticker, reader)
        within = TimeRange(query.start, query.end)
        rows = await reader.read(price_table.text_page, "json", query)
        complete = await completeness.is_complete(query.ticker, within, reader)
        cursor = format_cursor(rows.next, query.order)
        text = page_json(query.ticker, rows.text, cursor=cursor, complete=complete)
        policy = completeness.cache_policy(within, complete)
        return history_response(request, text, policy, link=next_link(request, cursor))

    @router.get("/prices", summary="Stored prices", responses=_LIST, response_class=Response)
    async def prices(request: Request, reader: Reader, page: Page) -> Response:
        """One price per slot, page by page: `next` is the `cursor` of the next page, `null` on the last.

        `complete` is true when every slot of the range that is due is stored. A range of the past has an ETag.
        """
        return await price_list(request, page, reader)

    @router.get("/prices/filter", summary="Stored prices by date", responses=_LIST, response_class=Response)
    async def prices_by_date(request: Request, reader: Reader, page: PageByDate) -> Response:
        """The same list, from `start_date` to the end of `end_date`; without `end_date`, until now."""
        return await price_list(request, page, reader)

    @router.get("/prices/latest", summary="The newest price", responses=_LATEST, response_class=Response)
    async def latest_price(ticker: KnownTicker, reader: Reader, fields: AskedFields) -> Response:
        """The newest tick in the form of the stream, with the `fields` that were asked for.

        If no tick arrived since the start: the newest stored price, which has no fields.
        """
        tick = latest.tick(ticker)
        if tick is not None:
            return json_response(tick.json(fields))
        stored = await reader.read(price_table.latest, ticker)
        if stored is None:
            raise NoPriceYet(ticker)
        return json_response(stored.json())

    @router.get("/tickers", summary="The catalogue", responses=_TICKERS, response_class=Response)
    async def tickers(search: Search = "", limit: NameLimit = 10_000) -> Response:
        """Every ticker that can be streamed. The configured ones come first; they are always streamed and recorded."""
        found, configured = names.search(search), frozenset(names.configured)
        entries = [
            TickerEntry(name, "index" if is_index(name) else "instrument", name in configured)
            for name in islice(found, limit)
        ]
        return json_response(TickerListResponse(next(found, None) is None, entries))

    return router
