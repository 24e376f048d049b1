"""The UDF datafeed under /udf, from which an unmodified TradingView client draws charts.

Errors have the form of that protocol, not that of problem documents, because its clients read nothing else.
https://www.tradingview.com/charting-library-docs/latest/connecting_data/UDF/
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import islice
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Query
from msgspec import UNSET
from starlette.responses import PlainTextResponse, Response

from ...errors import UnknownTicker
from ...history import prices as price_table
from ...history.candles import CandleText
from ...history.pages import PageQuery
from ...market.latest import LatestValues
from ...model import Price, Tick, is_index
from .candles import RecentBars, candle_page
from .dependencies import HistoryDatabase, HistoryReader, TickerNames, json_response
from .models import (
    BarsResponse,
    DatafeedExchange,
    DatafeedResponse,
    DatafeedType,
    SymbolMatch,
    SymbolResponse,
)
from .openapi import PRICE_PROBLEMS, response, text_response
from .time_range import LATEST_MS

__all__ = ["udf_router"]

#: UDF's names of resolutions, and ours; a day has two names.
RESOLUTIONS = {"1": "1m", "5": "5m", "15": "15m", "60": "1h", "240": "4h", "1D": "1d", "D": "1d"}
SUPPORTED = ["1", "5", "15", "60", "240", "1D"]

#: More than any screen shows; a client gets older candles by a request with an earlier `to`.
MOST_CANDLES = 10_000
#: More decimals do not fit into a client's numbers.
MOST_DECIMALS = 12

UNKNOWN_SYMBOL = BarsResponse("error", errmsg="unknown_symbol")

_CONFIG = response("What the datafeed supports.", DatafeedResponse)
_TIME = text_response("UNIX seconds.", "text/plain", "1763668800")
_SYMBOL = response("The symbol.", SymbolResponse)
_SYMBOL |= response("An unknown symbol, in the protocol's own form.", BarsResponse, status=404)
_SEARCH = response("The symbols.", list[SymbolMatch])
_HISTORY = response("Columns, or the reason why there are none.", BarsResponse)

Symbol = Annotated[str, Query(description="A ticker name.", min_length=1, max_length=80, examples=["btc_usd"])]
Seconds = Annotated[int, Query(description="UNIX seconds.", ge=0, le=LATEST_MS // 1000)]


def udf_router(
    database: HistoryDatabase, names: TickerNames, latest: LatestValues, bars: RecentBars, wall: Callable[[], float]
) -> APIRouter:
    """The routes of the datafeed. ``wall`` returns UNIX seconds."""
    router = APIRouter(prefix="/udf", tags=["udf"], responses=PRICE_PROBLEMS)
    Reader = Annotated[HistoryReader, Depends(database.session)]  # noqa: N806 - a type

    @router.get("/config", summary="What the datafeed supports", responses=_CONFIG, response_class=Response)
    async def config() -> Response:
        """The datafeed supports search, single symbols, and resolutions from a minute to a day."""
        return json_response(
            DatafeedResponse(
                supports_search=True,
                supports_group_request=False,
                supports_marks=False,
                supports_timescale_marks=False,
                supports_time=True,
                supported_resolutions=SUPPORTED,
                exchanges=[DatafeedExchange("Deribit", "Deribit", "Deribit")],
                symbols_types=[DatafeedType("All", ""), *(DatafeedType(kind.title(), kind) for kind in TYPES)],
            )
        )

    @router.get("/time", summary="The server's time", responses=_TIME, response_class=PlainTextResponse)
    async def time() -> Response:
        """UNIX seconds, as text."""
        return PlainTextResponse(str(int(wall())), headers={"Cache-Control": "no-store"})

    @router.get("/symbols", summary="One symbol", responses=_SYMBOL, response_class=Response)
    async def symbols(symbol: Symbol, reader: Reader) -> Response:
        """The facts that a chart needs about a ticker."""
        ticker = _ticker(symbol)
        try:
            await names.check(ticker, reader)
        except UnknownTicker:
            return json_response(UNKNOWN_SYMBOL, 404)
        newest: Tick | Price | None = latest.tick(ticker)
        newest = newest or await reader.read(price_table.latest, ticker)
        return json_response(_symbol(ticker, newest.price if newest else None))

    @router.get("/search", summary="Search symbols", responses=_SEARCH, response_class=Response)
    async def search(
        query: Annotated[str, Query(description="Part of a name.", max_length=80, examples=["btc"])] = "",
        type: Annotated[str, Query(description="A type of the config.", max_length=20)] = "",  # noqa: A002
        exchange: Annotated[str, Query(description="Deribit, or empty.", max_length=20)] = "",
        limit: Annotated[int, Query(description="The largest number of symbols.", ge=1, le=1_000)] = 30,
    ) -> Response:
        """Tickers whose name contains the query, the configured ones first."""
        elsewhere = exchange.casefold() not in ("", "deribit")
        found = () if elsewhere else names.search(_ticker(query))
        matching = (name for name in found if type in ("", _type(name)))
        return json_response([_match(name) for name in islice(matching, limit)])

    @router.get("/history", summary="Candles of a symbol", responses=_HISTORY, response_class=Response)
    async def history(
        symbol: Symbol,
        resolution: Annotated[str, Query(description="One of the config.", max_length=8, examples=["60"])],
        start: Annotated[Seconds, Query(alias="from")],
        end: Annotated[Seconds, Query(alias="to")],
        reader: Reader,
        countback: Annotated[
            int | None, Query(description="The number of candles before `to`.", ge=1, le=MOST_CANDLES)
        ] = None,
    ) -> Response:
        """Candles that begin in [from, to), or the last `countback` before `to`, as columns in ascending time."""
        ticker = _ticker(symbol)
        ours = RESOLUTIONS.get(resolution)
        if ours is None:
            return json_response(BarsResponse("error", errmsg=f"resolution must be one of {', '.join(SUPPORTED)}"))
        if start > end:
            return json_response(BarsResponse("error", errmsg="from must not be after to"))
        try:
            await names.check(ticker, reader)
        except UnknownTicker:
            return json_response(UNKNOWN_SYMBOL)
        recent = bars(ticker)
        page = PageQuery(ticker, None if countback else start, end, countback or MOST_CANDLES, order="desc")
        candles, _ = await candle_page(reader, recent, ours, page)
        if candles:
            return json_response(await anyio.to_thread.run_sync(_columns, candles[::-1]))
        # `nextTime` lets a client continue with older candles at once.
        older, _ = await candle_page(reader, recent, ours, PageQuery(ticker, end=end, limit=1, order="desc"))
        return json_response(BarsResponse("no_data", nextTime=older[0].timestamp if older else UNSET))

    return router


TYPES = ("index", "future", "option", "spot")


def _type(ticker: str) -> str:
    if is_index(ticker):
        return "index"
    if ticker.endswith(("-C", "-P")):
        return "option"
    return "future" if "-" in ticker else "spot"


def _ticker(symbol: str) -> str:
    """The ticker of a symbol; clients may write it as EXCHANGE:TICKER."""
    return symbol.removeprefix("Deribit:").removeprefix("DERIBIT:")


def _symbol(ticker: str, price: Decimal | None) -> SymbolResponse:
    exponent = 0 if price is None else int(price.as_tuple().exponent)
    decimals = min(max(2, -exponent), MOST_DECIMALS)
    full_name, description = f"Deribit:{ticker}", f"{ticker} on Deribit"
    return SymbolResponse(ticker, ticker, full_name, description, _type(ticker), 10**decimals, SUPPORTED)


def _match(ticker: str) -> SymbolMatch:
    return SymbolMatch(ticker, f"Deribit:{ticker}", f"{ticker} on Deribit", ticker, _type(ticker))


def _columns(candles: Sequence[CandleText]) -> str:
    """The JSON of the candles as columns of exact prices."""

    def column(value: Callable[[CandleText], str]) -> str:
        return f"[{','.join(map(value, candles))}]"

    return (
        f'{{"s":"ok","t":{column(lambda c: str(c.timestamp))},"o":{column(lambda c: c.open)},'
        f'"h":{column(lambda c: c.high)},"l":{column(lambda c: c.low)},'
        f'"c":{column(lambda c: c.close)}}}'
    )
