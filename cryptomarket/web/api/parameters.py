"""The query parameters that several routes share, as types that FastAPI validates and documents."""

from typing import Annotated, Literal

from fastapi import Depends, Query

from ...fields import FIELD_GROUPS, Fields, parse_fields
from ...history.pages import Order, PageQuery
from .pagination import parse_cursor
from .time_range import MOST_CHARACTERS, TimeRange, parse_range

__all__ = ["AskedFields", "NameLimit", "Page", "PageByDate", "Resolution", "Search", "SortOrder", "Ticker", "Within"]

Ticker = Annotated[
    str,
    Query(
        description="An index (`btc_usd`) or an instrument (`BTC-PERPETUAL`); mandatory.",
        min_length=1,
        max_length=64,
        examples=["btc_usd"],
    ),
]
Time = Annotated[
    str | None,
    Query(
        description="ISO 8601, UNIX seconds or UNIX milliseconds; UTC unless it names a zone. "
        "The start is included, the end is not; a bare date as the end includes that day.",
        max_length=MOST_CHARACTERS,
        examples=["2025-11-20", "2025-11-20T14:00:00Z", "1763647200"],
    ),
]
StartDate = Annotated[
    str,
    Query(
        description="The start of the range: a date, an ISO 8601 time, UNIX seconds or UNIX milliseconds.",
        max_length=MOST_CHARACTERS,
        examples=["2025-11-20", "1763647200"],
    ),
]
Limit = Annotated[int, Query(description="The largest number of entries in one response.", ge=1, le=10_000)]
Cursor = Annotated[
    str | None, Query(description="The `next` of the previous page.", max_length=40, examples=["asc-1763647200"])
]
SortOrder = Annotated[Order, Query(description="Oldest first (`asc`) or newest first (`desc`).")]
Search = Annotated[str, Query(description="Part of a name, in any case.", max_length=64, examples=["btc"])]
NameLimit = Annotated[int, Query(description="The largest number of names in one response.", ge=1, le=10_000)]
Resolution = Annotated[
    Literal["1m", "5m", "15m", "1h", "4h", "1d"], Query(description="The length of a candle; days are UTC days.")
]
_FieldNames = Annotated[
    str | None,
    Query(
        description="Groups of numbers beside the price of an instrument, separated by commas: "
        f"{', '.join(f'`{name}`' for name in FIELD_GROUPS)}.",
        max_length=64,
        examples=["quote,greeks"],
    ),
]


def _asked_fields(fields: _FieldNames = None) -> Fields:
    return parse_fields(fields)


def _within(start: Time = None, end: Time = None) -> TimeRange:
    return parse_range(start, end)


def _page(
    ticker: Ticker,
    start: Time = None,
    end: Time = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
    order: SortOrder = "asc",
) -> PageQuery:
    within = parse_range(start, end)
    return PageQuery(ticker, within.start, within.end, limit, parse_cursor(cursor, order), order)


def _page_by_date(
    ticker: Ticker,
    start_date: StartDate,
    end_date: Time = None,
    limit: Limit = 1000,
    cursor: Cursor = None,
    order: SortOrder = "asc",
) -> PageQuery:
    within = parse_range(start_date, end_date, ("start_date", "end_date"))
    return PageQuery(ticker, within.start, within.end, limit, parse_cursor(cursor, order), order)


#: The groups of fields that a request asks for.
AskedFields = Annotated[Fields, Depends(_asked_fields)]
#: The range from `start` to `end`.
Within = Annotated[TimeRange, Depends(_within)]
#: A page of the range from `start` to `end`.
Page = Annotated[PageQuery, Depends(_page)]
#: A page of the range from `start_date` to `end_date`.
PageByDate = Annotated[PageQuery, Depends(_page_by_date)]
