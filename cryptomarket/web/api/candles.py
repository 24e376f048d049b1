"""The REST API of candles and of coverage: what a chart draws, and which parts of it are missing."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from ...history.candles import RESOLUTIONS, CandleText, MinuteBar, overlay
from ...history.intervals import Coverage
from ...history.reading import TextPage
from .caching import history_response, next_link
from .completeness import Completeness
from .dependencies import HistoryReader, PriceStore, TickerNames, json_response, known_ticker
from .models import CandleListResponse, CoverageInterval, CoverageResponse
from .openapi import NOT_MODIFIED, PRICE_PROBLEMS, response
from .pagination import PageParameters, format_cursor, page_json
from .parameters import Page, Resolution, Within
from .time_range import TimeRange

__all__ = ["RecentBars", "candle_page", "candle_router", "no_bars"]

_CANDLES = response("A page of candles.", CandleListResponse) | NOT_MODIFIED
_COVERAGE = response("The intervals, oldest first.", CoverageResponse)

#: Returns the minute bars of a ticker that are not stored yet.
RecentBars = Callable[[str], Sequence[MinuteBar]]


def no_bars(_: str) -> Sequence[MinuteBar]:
    """No bars: nothing is recorded in this process."""
    return ()


def candle_router(store: PriceStore, names: TickerNames, bars: RecentBars, completeness: Completeness) -> APIRouter:
    """The routes of candles and coverage."""
    router = APIRouter(prefix="/api/v1", tags=["charts"], responses=PRICE_PROBLEMS)
    Reader = Annotated[HistoryReader, Depends(store.session)]  # noqa: N806 - a type
    KnownTicker = Annotated[str, Depends(known_ticker(names, store))]  # noqa: N806 - a type

    @router.get("/candles", summary="Open, high, low, close", responses=_CANDLES, response_class=Response)
    async def candles(
        request: Request, ticker: KnownTicker, reader: Reader, page: Page, resolution: Resolution = "1m"
    ) -> Response:
        """Candles that begin in the range; an interval without prices has none.

        `partial` marks a candle that contains missing or future time; the newest candle is still open.
        """
        rows = await _candle_text(reader, bars(ticker), ticker, resolution, page)
        cursor = format_cursor(rows.next, page.order)
        covered = _covered(page.within, RESOLUTIONS[resolution])
        complete = await completeness.is_complete(ticker, covered, reader, resolution)
        text = page_json(ticker, rows.text, cursor=cursor, complete=complete, resolution=resolution)
        policy = completeness.cache_policy(covered, complete)
        return history_response(request, text, policy, link=next_link(request, cursor))

    @router.get("/coverage", summary="What is known, and what is missing", responses=_COVERAGE, response_class=Response)
    async def coverage(ticker: KnownTicker, reader: Reader, within: Within) -> Response:
        """The intervals of the range: observed live, backfilled with their source, or missing with their reason.

        Without a start the range begins with the record; it ends at the last slot that is due.
        """
        last = completeness.due_until()
        last = last if within.end is None else min(within.end, last)
        first = within.start
        if first is None:
            span = await reader.span(ticker)
            first = span[0] if span else last
        found = await reader.coverage(ticker, first, last) if first < last else Coverage(first, max(first, last), ())
        return json_response(_coverage(ticker, found))

    return router


async def _candle_text(
    reader: HistoryReader, bars: Sequence[MinuteBar], ticker: str, resolution: str, page: PageParameters
) -> TextPage:
    """The candles of a page as JSON.

    The database writes the JSON itself if all candles are whole and stored: this takes half the time.
    """
    if not _unstored(bars, RESOLUTIONS[resolution], page):
        whole = await reader.candle_text(
            ticker,
            resolution,
            start=page.within.start,
            end=page.within.end,
            limit=page.limit,
            after=page.after,
            order=page.order,
        )
        if whole is not None:
            return whole
    rows, more = await candle_page(reader, bars, ticker, resolution, page)
    return TextPage(",".join([candle.json() for candle in rows]), len(rows), rows[-1].timestamp if more else None)


def _covered(within: TimeRange, seconds: int) -> TimeRange:
    """The time span of the candles that begin in a range: the last candle may end after the range."""
    return within if within.end is None else TimeRange(within.start, -(-within.end // seconds) * seconds)


async def candle_page(
    reader: HistoryReader, bars: Sequence[MinuteBar], ticker: str, resolution: str, page: PageParameters
) -> tuple[list[CandleText], bool]:
    """The candles of a page, and whether more follow. ``bars`` are the minutes that are not stored yet."""
    seconds, within, newest_first = RESOLUTIONS[resolution], page.within, page.order == "desc"
    rows: Sequence[CandleText] = await reader.candles(
        ticker,
        resolution,
        start=within.start,
        end=within.end,
        limit=page.limit + 1,  # the additional one shows whether another page follows
        after=page.after,
        order=page.order,
    )
    if page.after is None if newest_first else len(rows) <= page.limit:
        rows = overlay(rows, _unstored(bars, seconds, page), seconds)[:: -1 if newest_first else 1]
    return list(rows[: page.limit]), len(rows) > page.limit


def _unstored(bars: Sequence[MinuteBar], seconds: int, page: PageParameters) -> list[MinuteBar]:
    """The bars whose candle falls into the page."""

    def wanted(timestamp: int) -> bool:
        within = page.within
        after_start = within.start is None or timestamp >= within.start
        after_cursor = page.after is None or timestamp > page.after
        return after_start and after_cursor and (within.end is None or timestamp < within.end)

    return [bar for bar in bars if wanted(bar.timestamp - bar.timestamp % seconds)]


def _coverage(ticker: str, found: Coverage) -> CoverageResponse:
    intervals = [
        CoverageInterval(
            interval.start,
            interval.end,
            interval.kind,
            UNSET if interval.source is None else str(interval.source),
            UNSET if interval.reason is None else str(interval.reason),
        )
        for interval in found.intervals
    ]
    return CoverageResponse(ticker, found.start, found.end, found.complete, intervals)
