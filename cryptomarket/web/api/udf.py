"""The UDF datafeed under /udf: a stock TradingView client charts from here by its address alone.

Refusals have the shape of that protocol, not of our problem documents, because its clients read nothing else.
https://www.tradingview.com/charting-library-docs/latest/connecting_data/UDF/
"""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import PlainTextResponse, Response

from ...errors import UnknownTicker
from ...history.candles import CandleText
from ...model import is_index
from .candles import candle_page
from .dependencies import Dependencies, HistoryReader
from .pagination import PageParameters
from .schemas import BARS, FEED, FOUND, PROBLEMS, SYMBOL, TIME
from .time_range import TOO_LATE, Range

__all__ = ["udf_router"]

#: UDF's names of resolutions and ours; a day has two.
RESOLUTIONS = {"1": "1m", "5": "5m", "15": "15m", "60": "1h", "240": "4h", "1D": "1d", "D": "1d"}
SUPPORTED = ["1", "5", "15", "60", "240", "1D"]

#: More than any screen shows; a client that wants more asks again with an earlier `to`.
MOST_CANDLES = 10_000
#: A price never shows more decimals than a client's numbers can hold.
MOST_DECIMALS = 12

Symbol = Annotated[str, Query(description="A ticker name.", min_length=1, max_length=80, examples=["btc_usd"])]
Seconds = Annotated[int, Query(description="UNIX seconds.", ge=0, le=TOO_LATE // 1000)]


def udf_router(parts: Dependencies) -> APIRouter:
    """The routes of the datafeed over the given parts."""
    router = APIRouter(prefix="/udf", tags=["udf"], responses=PROBLEMS)
    get_db = parts.store.session
    Database = Annotated[Any, Depends(get_db)]  # noqa: N806 - a type; it is a `Reader`, which FastAPI need not know

    @router.get("/config", summary="What the datafeed can do", responses=FEED, response_class=Response)
    async def config() -> Response:
        """Search and single symbols; resolutions from a minute to a day."""
        return _json(
            {
                "supports_search": True,
                "supports_group_request": False,
                "supports_marks": False,
                "supports_timescale_marks": False,
                "supports_time": True,
                "supported_resolutions": SUPPORTED,
                "exchanges": [{"value": "Deribit", "name": "Deribit", "desc": "Deribit"}],
                "symbols_types": [{"name": "All", "value": ""}, *({"name": t.title(), "value": t} for t in TYPES)],
            }
        )

    @router.get("/time", summary="The server's time", responses=TIME, response_class=PlainTextResponse)
    async def time() -> Response:
        """UNIX seconds, as text."""
        return PlainTextResponse(str(int(parts.wall())), headers={"Cache-Control": "no-store"})

    @router.get("/symbols", summary="One symbol", responses=SYMBOL, response_class=Response)
    async def symbols(symbol: Symbol, db: Database) -> Response:
        """What a chart must know of a ticker."""
        ticker = _ticker(symbol)
        try:
            await parts.check(ticker, db)
        except UnknownTicker:
            return _json({"s": "error", "errmsg": "unknown_symbol"}, status=404)
        newest = parts.latest.tick(ticker) or await db.latest(ticker)
        return _json(_symbol(ticker, newest.price if newest else None))

    @router.get("/search", summary="Search symbols", responses=FOUND, response_class=Response)
    async def search(
        query: Annotated[str, Query(description="Part of a name.", max_length=80, examples=["btc"])] = "",
        type: Annotated[str, Query(description="A type of the config.", max_length=20)] = "",  # noqa: A002
        exchange: Annotated[str, Query(description="Deribit, or empty.", max_length=20)] = "",
        limit: Annotated[int, Query(description="How many at most.", ge=1, le=1_000)] = 30,
    ) -> Response:
        """Tickers whose name contains the query, the configured ones first."""
        return _json(_found(parts, query, type, exchange, limit))

    @router.get("/history", summary="Candles of a symbol", responses=BARS, response_class=Response)
    async def history(
        symbol: Symbol,
        resolution: Annotated[str, Query(description="One of the config.", max_length=8, examples=["60"])],
        start: Annotated[Seconds, Query(alias="from")],
        end: Annotated[Seconds, Query(alias="to")],
        db: Database,
        countback: Annotated[int | None, Query(description="So many before `to`.", ge=1, le=MOST_CANDLES)] = None,
    ) -> Response:
        """Columns of candles that begin in [from, to), or the last `countback` before `to`; times only rise."""
        ticker = _ticker(symbol)
        ours = RESOLUTIONS.get(resolution)
        if ours is None:
            return _json({"s": "error", "errmsg": f"resolution must be one of {', '.join(SUPPORTED)}"})
        try:
            await parts.check(ticker, db)
        except UnknownTicker:
            return _json({"s": "error", "errmsg": "unknown_symbol"})
        within = Range(None if countback else start, end)
        asked = PageParameters(within, "desc", countback or MOST_CANDLES)
        page, _ = await candle_page(parts, db, ticker, ours, asked)
        if not page:
            return _json(await _no_data(parts, db, ticker, ours, end))
        return _columns(page[::-1])

    return router


TYPES = ("index", "future", "option", "spot")


def _type(ticker: str) -> str:
    if is_index(ticker):
        return "index"
    if ticker.endswith(("-C", "-P")):
        return "option"
    return "future" if "-" in ticker else "spot"


def _ticker(symbol: str) -> str:
    """The ticker of a symbol, which clients may write as EXCHANGE:TICKER."""
    return symbol.removeprefix("Deribit:").removeprefix("DERIBIT:")


def _symbol(ticker: str, price: Decimal | None) -> dict[str, Any]:
    exponent = 0 if price is None else int(price.as_tuple().exponent)
    decimals = min(max(2, -exponent), MOST_DECIMALS)
    return {
        "name": ticker,
        "ticker": ticker,
        "full_name": f"Deribit:{ticker}",
        "description": f"{ticker} on Deribit",
        "type": _type(ticker),
        "session": "24x7",
        "exchange": "Deribit",
        "listed_exchange": "Deribit",
        "timezone": "Etc/UTC",
        "format": "price",
        "minmov": 1,
        "pricescale": 10**decimals,
        "has_intraday": True,
        "has_daily": True,
        "has_weekly_and_monthly": False,
        "intraday_multipliers": ["1", "5", "15", "60", "240"],
        "supported_resolutions": SUPPORTED,
        "has_empty_bars": False,
        "visible_plots_set": "ohlc",
        "data_status": "streaming",
    }


def _found(parts: Dependencies, query: str, kind: str, exchange: str, limit: int) -> list[dict[str, str]]:
    if exchange and exchange.casefold() != "deribit":
        return []
    wanted = _ticker(query).casefold()
    names = dict.fromkeys([*parts.tickers, *sorted(parts.catalogue.names())])
    matching = [name for name in names if wanted in name.casefold() and kind in ("", _type(name))]
    return [
        {
            "symbol": name,
            "full_name": f"Deribit:{name}",
            "description": f"{name} on Deribit",
            "exchange": "Deribit",
            "ticker": name,
            "type": _type(name),
        }
        for name in matching[:limit]
    ]


async def _no_data(parts: Dependencies, db: HistoryReader, ticker: str, resolution: str, end: int) -> dict[str, Any]:
    """Nothing in the range; `nextTime` is where older candles are, so that a client goes there at once."""
    older, _ = await candle_page(parts, db, ticker, resolution, PageParameters(Range(None, end), "desc", 1))
    return {"s": "no_data", **({"nextTime": older[0].timestamp} if older else {})}


def _columns(candles: Sequence[CandleText]) -> Response:
    """The candles as columns, each price with every digit."""

    def column(value: Callable[[CandleText], str]) -> str:
        return f"[{','.join(map(value, candles))}]"

    text = (
        f'{{"s":"ok","t":{column(lambda c: str(c.timestamp))},"o":{column(lambda c: c.open)},'
        f'"h":{column(lambda c: c.high)},"l":{column(lambda c: c.low)},'
        f'"c":{column(lambda c: c.close)}}}'
    )
    return Response(text, headers={"Cache-Control": "no-store"}, media_type="application/json")


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, {"Cache-Control": "no-store"}, media_type="application/json")
