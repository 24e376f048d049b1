"""The REST API of candles and of coverage: what a chart draws, and what it must not pretend to know."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from ...history.candles import RESOLUTIONS, CandleText, MinuteBar, overlay
from ...history.intervals import Coverage, due
from ...history.reading import TextPage
from .caching import history_answer, next_link
from .dependencies import Dependencies, HistoryReader, json_answer, known_ticker
from .pagination import PageParameters, after, list_json
from .pagination import cursor as position
from .parameters import Cursor, Direction, Limit, Moment, Resolution
from .schemas import CANDLES, COVERAGE, PROBLEMS
from .time_range import Range, asked_range

__all__ = ["candle_page", "candle_router"]


def candle_router(parts: Dependencies) -> APIRouter:
    """The routes of candles and coverage over the given parts."""
    router = APIRouter(prefix="/api/v1", tags=["charts"], responses=PROBLEMS)
    Database = Annotated[Any, Depends(parts.store.session)]  # noqa: N806 - a type; FastAPI need not know `Prices`
    Known = Annotated[str, Depends(known_ticker(parts))]  # noqa: N806 - a type

    @router.get("/candles", summary="Open, high, low, close", responses=CANDLES, response_class=Response)
    async def candles(
        request: Request,
        ticker: Known,
        db: Database,
        resolution: Resolution = "1m",
        start: Moment = None,
        end: Moment = None,
        limit: Limit = 1000,
        cursor: Cursor = None,
        order: Direction = "asc",
    ) -> Response:
        """Candles that begin in the range; where nothing is known there is none.

        `partial` marks one with missing or future time in it; the newest is the one still open.
        """
        asked = PageParameters(asked_range(start, end), order, limit, after(cursor, order))
        page = await _text(parts, db, ticker, resolution, asked)
        following = position(page.next, order) if page.next is not None else None
        covered = _covered(asked.within, RESOLUTIONS[resolution])
        complete = await parts.complete(ticker, covered, db, resolution)
        text = list_json(ticker, page.text, following=following, complete=complete, resolution=resolution)
        return history_answer(request, text, parts.kept(covered, complete), link=next_link(request, following))

    @router.get("/coverage", summary="What is known, and what is missing", responses=COVERAGE, response_class=Response)
    async def coverage(ticker: Known, db: Database, start: Moment = None, end: Moment = None) -> Response:
        """Each stretch of the range: observed live, backfilled and from where, or missing and why.

        Without a start it begins with the record; it never goes beyond what can already be stored.
        """
        asked = asked_range(start, end)
        last = due(parts.wall(), parts.interval)
        last = last if asked.end is None else min(asked.end, last)
        first = asked.start
        if first is None:
            span = await db.span(ticker)
            first = span[0] if span else last
        found = await db.coverage(ticker, first, last) if first < last else Coverage(first, max(first, last), ())
        return json_answer(_coverage_json(ticker, found))

    return router


async def _text(
    parts: Dependencies, db: HistoryReader, ticker: str, resolution: str, asked: PageParameters
) -> TextPage:
    """The candles of a page as JSON: by the database where all are whole and stored, which is twice as fast."""
    if not _unstored(parts, ticker, RESOLUTIONS[resolution], asked):
        whole = await db.candle_text(
            ticker,
            resolution,
            start=asked.within.start,
            end=asked.within.end,
            limit=asked.limit,
            after=asked.after,
            order=asked.order,
        )
        if whole is not None:
            return whole
    page, more = await candle_page(parts, db, ticker, resolution, asked)
    return TextPage(",".join([candle.json() for candle in page]), len(page), page[-1].timestamp if more else None)


def _covered(within: Range, seconds: int) -> Range:
    """The time that the candles which begin in a range are made of: the last one reaches beyond its end."""
    return within if within.end is None else Range(within.start, -(-within.end // seconds) * seconds)


async def candle_page(
    parts: Dependencies, db: HistoryReader, ticker: str, resolution: str, asked: PageParameters
) -> tuple[list[CandleText], bool]:
    """The candles of a page, and whether more follow; where it meets the present, with what is not stored yet."""
    seconds, within, newest_first = RESOLUTIONS[resolution], asked.within, asked.order == "desc"
    page: Sequence[CandleText] = await db.candles(
        ticker,
        resolution,
        start=within.start,
        end=within.end,
        limit=asked.limit + 1,  # one more than the page tells whether something follows
        after=asked.after,
        order=asked.order,
    )
    if asked.after is None if newest_first else len(page) <= asked.limit:
        page = overlay(page, _unstored(parts, ticker, seconds, asked), seconds)[:: -1 if newest_first else 1]
    return list(page[: asked.limit]), len(page) > asked.limit


def _unstored(parts: Dependencies, ticker: str, seconds: int, asked: PageParameters) -> list[MinuteBar]:
    return [bar for bar in parts.bars(ticker) if _wanted(bar.timestamp - bar.timestamp % seconds, asked)]


def _wanted(moment: int, asked: PageParameters) -> bool:
    within = asked.within
    begun = (within.start is None or moment >= within.start) and (asked.after is None or moment > asked.after)
    return begun and (within.end is None or moment < within.end)


def _coverage_json(ticker: str, found: Coverage) -> str:
    intervals = []
    for interval in found.intervals:
        entry: dict[str, Any] = {"start": interval.start, "end": interval.end, "kind": str(interval.kind)}
        if interval.source is not None:
            entry["source"] = str(interval.source)
        if interval.reason is not None:
            entry["reason"] = str(interval.reason)
        intervals.append(entry)
    answer = {
        "ticker": ticker,
        "start": found.start,
        "end": found.end,
        "complete": found.complete,
        "intervals": intervals,
    }
    return json.dumps(answer)
