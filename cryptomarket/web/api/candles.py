"""The REST API of candles and of coverage: what a chart draws, and which parts of it are missing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from ...history import candles_table, ledger
from ...history.candles import RESOLUTIONS, CandleText, MinuteBar, overlay
from ...history.intervals import Coverage
from ...history.pages import PageQuery, TextPage
from .caching import history_response, next_link
from .completeness import Completeness
from .dependencies import HistoryDatabase, HistoryReader, TickerNames, json_response, known_ticker
from .models import CandleListResponse, CoverageInterval, CoverageResponse
from .openapi import NOT_MODIFIED, PRICE_PROBLEMS, response
from .pagination import format_cursor, page_json
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


def candle_router(
    database: HistoryDatabase, names: TickerNames, bars: RecentBars, completeness: Completeness
) -> APIRouter:
    """The routes of candles and coverage."""
    router = APIRouter(prefix="/api/v1", tags=["charts"], responses=PRICE_PROBLEMS)
    Reader = Annotated[HistoryReader, Depends(database.session)]  # noqa: N806 - a type
    KnownTicker = Annotated[str, Depends(known_ticker(names, database))]  # noqa: N806 - a type

    @router.get("/candles", summary="Open, high, low, close", responses=_CANDLES, response_class=Response)
    async def candles(request: Request, reader: Reader, page: Page, resolution: Resolution = "1m") -> Response:
        """Candles that begin in the range; an interval without prices has none.

        `partial` marks a candle that contains missing or future time; the newest candle is still open.
        """
        await names.check(page.ticker, reader)
        rows = await _candle_text(reader, bars(page.ticker), resolution, page)
        cursor = format_cursor(rows.next, page.order)
        covered = _covered(page, RESOLUTIONS[resolution])
        complete = await completeness.is_complete(page.ticker, covered, reader, resolution)
        text = page_json(page.ticker, rows.text, cursor=cursor, complete=complete, resolution=resolution)
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
            span = await reader.read(ledger.span, ticker)
            first = span[0] if span else last
        found = await reader.read(ledger.coverage, ticker, first, max(first, last))
        return json_response(_coverage(ticker, found))

    return router


async def _candle_text(reader: HistoryReader, bars: Sequence[MinuteBar], resolution: str, query: PageQuery) -> TextPage:
    """The candles of a page as JSON.

    The database writes the JSON of all candles but the newest, which have bars that are not stored yet: for a page of
    10,000 this takes a third of the time.
    """
    seconds = RESOLUTIONS[resolution]
    unstored = _unstored(bars, seconds, query)
    if not unstored:
        return await reader.read(candles_table.text_page, resolution, query)
    border = min(bar.timestamp - bar.timestamp % seconds for bar in unstored)
    stored = replace(query, end=border)
    newest = replace(query, start=max(border, query.start or 0))
    if query.order == "asc":
        first = await reader.read(candles_table.text_page, resolution, stored)
        if first.next is not None:
            return first
        left = query.limit - first.count
        rows, more = await candle_page(reader, bars, resolution, replace(newest, limit=max(left, 1)))
        if left == 0:  # the page is full, and more follow
            return replace(first, next=int(first.text.rpartition('"timestamp":')[2].partition(",")[0]))
        return _joined(first, TextPage(_json(rows), len(rows), rows[-1].timestamp if more else None))
    rows, more = await candle_page(reader, bars, resolution, newest)
    first = TextPage(_json(rows), len(rows), rows[-1].timestamp if rows else None)
    if more:
        return first
    left = query.limit - len(rows)
    older = await reader.read(candles_table.text_page, resolution, replace(stored, after=None, limit=max(left, 1)))
    if left == 0:
        return first if older.count else replace(first, next=None)
    return _joined(first, older)


def _json(rows: Sequence[CandleText]) -> str:
    return ",".join([candle.json() for candle in rows])


def _joined(first: TextPage, second: TextPage) -> TextPage:
    """Two parts of one page; what follows is known to the second."""
    return TextPage(",".join(filter(None, (first.text, second.text))), first.count + second.count, second.next)


def _covered(query: PageQuery, seconds: int) -> TimeRange:
    """The time span of the candles that begin in a range: the last candle may end after the range."""
    return TimeRange(query.start, None if query.end is None else -(-query.end // seconds) * seconds)


async def candle_page(
    reader: HistoryReader, bars: Sequence[MinuteBar], resolution: str, query: PageQuery
) -> tuple[list[CandleText], bool]:
    """The candles of a page, and whether more follow. ``bars`` are the minutes that are not stored yet."""
    seconds = RESOLUTIONS[resolution]
    one_more = replace(query, limit=query.limit + 1)  # the additional one shows whether another page follows
    rows: Sequence[CandleText] = await reader.read(candles_table.page, resolution, one_more)
    if unstored := _unstored(bars, seconds, query):
        rows = overlay(rows, unstored, seconds)[:: -1 if query.order == "desc" else 1]
    return list(rows[: query.limit]), len(rows) > query.limit


def _unstored(bars: Sequence[MinuteBar], seconds: int, query: PageQuery) -> list[MinuteBar]:
    """The bars whose candle falls into the page."""
    return [bar for bar in bars if query.contains(bar.timestamp - bar.timestamp % seconds)]


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
