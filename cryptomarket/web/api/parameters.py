"""The parameters that routes share, with what OpenAPI says of each."""

from typing import Annotated, Literal

from fastapi import Query

from .pagination import Order

__all__ = ["Cursor", "Direction", "Limit", "Moment", "NameLimit", "Resolution", "Search", "StartDate", "Ticker"]

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
Resolution = Annotated[
    Literal["1m", "5m", "15m", "1h", "4h", "1d"], Query(description="How long a candle is; days are those of UTC.")
]
