"""The REST API of instruments: what the catalogue knows of each, filtered and page by page."""

from datetime import UTC, date, datetime
from itertools import islice
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from ...errors import InvalidParameter, UnknownTicker
from ...model import Instrument
from .caching import CachePolicy, history_response, next_link
from .dependencies import TickerCatalogue
from .models import InstrumentListResponse
from .openapi import NOT_MODIFIED, PRICE_PROBLEMS, response
from .pagination import instruments_json

__all__ = ["instrument_router"]

_LIST = response("A page of instruments.", InstrumentListResponse) | NOT_MODIFIED

Index = Annotated[
    str | None, Query(description="The index that instruments belong to.", max_length=64, examples=["btc_usd"])
]
Kind = Annotated[
    Literal["future", "option", "spot", "future_combo", "option_combo"] | None,
    Query(description="The kind of instruments; perpetuals are futures."),
]
Expiry = Annotated[
    str | None,
    Query(description="The day on which instruments expire, UTC.", max_length=10, examples=["2026-12-25"]),
]
#: A page is smaller than one of prices: the whole list is 6,000 instruments.
Limit = Annotated[int, Query(description="The largest number of entries in one response.", ge=1, le=1_000)]
Cursor = Annotated[
    str | None,
    Query(description="The `next` of the previous page.", max_length=64, examples=["BTC-25DEC26-100000-C"]),
]


def instrument_router(catalogue: TickerCatalogue) -> APIRouter:
    """The route of instruments."""
    router = APIRouter(prefix="/api/v1", tags=["prices"], responses=PRICE_PROBLEMS)

    @router.get("/instruments", summary="Instruments", responses=_LIST, response_class=Response)
    async def instruments(
        request: Request,
        index: Index = None,
        kind: Kind = None,
        expiry: Expiry = None,
        limit: Limit = 1_000,
        cursor: Cursor = None,
    ) -> Response:
        """Every instrument that the exchange lists, sorted by ticker, with strike, expiry, unit and tick size.

        A new listing appears once its details are known, within minutes at most. The list has an ETag.
        """
        day = _day(expiry)
        if index is not None and catalogue.fetched and not catalogue.known_index(index):
            raise UnknownTicker(index, catalogue.nearest_index(index), "index")
        found = (one for one in catalogue.instruments(cursor or "") if _matches(one, index, kind, day))
        page = list(islice(found, limit + 1))
        follows = page[limit - 1].name if len(page) > limit else None
        text = instruments_json(page[:limit], cursor=follows, complete=catalogue.fetched)
        policy = CachePolicy.REVALIDATE if catalogue.fetched else CachePolicy.NO_STORE
        return history_response(request, text, policy, link=next_link(request, follows))

    return router


def _day(text: str | None) -> range | None:
    """The UNIX seconds of the day; raises InvalidParameter for anything but a date."""
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidParameter("expiry", "a date (2026-12-25)") from None
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return range(start, start + 86_400)


def _matches(one: Instrument, index: str | None, kind: str | None, day: range | None) -> bool:
    return (
        (index is None or one.price_index == index)
        and (kind is None or one.kind == kind)
        and (day is None or (one.expiry is not None and one.expiry in day))
    )
