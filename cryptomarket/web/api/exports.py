"""Exports: the whole of a range as CSV, NDJSON or Parquet, streamed page by page.

Each page borrows a connection for itself, so that a slow reader pins none; a page is written by the database as text.
"""

import csv
import io
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from ...history.parquet import ParquetPages
from ...history.queries import Form
from ...history.reading import TextPage
from ...history.synchronous import CSV_HEADER
from .dependencies import Dependencies
from .pagination import Order
from .parameters import Direction, Moment, Ticker
from .schemas import CSV, NDJSON, PARQUET, PROBLEMS
from .time_range import Range, asked_range

__all__ = ["export_router"]

#: Rows of a page: some hundred kilobytes, a few milliseconds of the database's time.
PAGE_ROWS = 10_000


class Export:
    """The pages of one export."""

    def __init__(self, parts: Dependencies, ticker: str, within: Range, order: Order) -> None:
        self._parts = parts
        self._ticker = ticker
        self._within = within
        self._order = order

    async def pages(self, form: Form) -> AsyncIterator[TextPage]:
        """The range, page by page; nothing is held between two of them."""
        position: int | None = None
        while True:
            async with self._parts.store.reading() as db:
                page = await db.text_page(
                    form,
                    self._ticker,
                    start=self._within.start,
                    end=self._within.end,
                    limit=PAGE_ROWS,
                    after=position,
                    order=self._order,
                )
            yield page
            position = page.next
            if position is None:
                return

    async def text(self, form: Form, head: str = "") -> AsyncIterator[bytes]:
        """The export as lines."""
        if head:
            yield head.encode()
        async for page in self.pages(form):
            if page.text:
                yield page.text.encode()

    async def parquet(self, writer: ParquetPages) -> AsyncIterator[bytes]:
        """The export as one Parquet file, a row group a page."""
        async for page in self.pages("csv"):
            rows = list(csv.reader(io.StringIO(page.text)))
            if part := await anyio.to_thread.run_sync(writer.add, rows):
                yield part
        yield await anyio.to_thread.run_sync(writer.finish)


async def _started(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same chunks, the first already there: a database that is away is a problem document, not a broken file."""
    first = await anext(chunks, b"")

    async def all_chunks() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return all_chunks()


def export_router(parts: Dependencies) -> APIRouter:
    """The routes of exports over the given parts."""
    router = APIRouter(prefix="/api/v1", tags=["exports"], responses=PROBLEMS)

    async def export(
        ticker: Ticker, start: Moment = None, end: Moment = None, order: Direction = "asc"
    ) -> tuple[Export, dict[str, str]]:
        within = asked_range(start, end)
        async with parts.store.reading() as db:
            await parts.check(ticker, db)
            complete = await parts.complete(ticker, within, db)
        headers = {"Cache-Control": "no-store", "X-History-Complete": str(complete).lower()}
        return Export(parts, ticker, within, order), {**headers, "X-Ticker": ticker}

    Asked = Annotated[Any, Depends(export)]  # noqa: N806 - a type

    async def stream(headers: dict[str, str], chunks: AsyncIterator[bytes], media_type: str, ending: str) -> Response:
        ticker = headers.pop("X-Ticker")
        named = {**headers, "Content-Disposition": f'attachment; filename="{ticker}.{ending}"'}
        return StreamingResponse(await _started(chunks), headers=named, media_type=media_type)

    @router.get("/export.csv", summary="Prices as CSV", responses=CSV, response_class=Response)
    async def as_csv(asked: Asked) -> Response:
        """A header and one line a price, with every digit; `X-History-Complete` says whether any is missing."""
        return await stream(
            asked[1], asked[0].text("csv", CSV_HEADER), "text/csv; charset=utf-8; header=present", "csv"
        )

    @router.get("/export.ndjson", summary="Prices as NDJSON", responses=NDJSON, response_class=Response)
    async def as_ndjson(asked: Asked) -> Response:
        """One JSON price a line, in the shape of every other answer."""
        return await stream(asked[1], asked[0].text("ndjson"), "application/x-ndjson", "ndjson")

    @router.get("/export.parquet", summary="Prices as Parquet", responses=PARQUET, response_class=Response)
    async def as_parquet(asked: Asked) -> Response:
        """Exact decimals and UTC timestamps in a compressed Parquet file; needs the extra `parquet`."""
        try:
            writer = ParquetPages()
        except ImportError as exc:
            raise HTTPException(501, "Parquet needs the extra: pip install 'cryptomarket[parquet]'") from exc
        return await stream(asked[1], asked[0].parquet(writer), "application/vnd.apache.parquet", "parquet")

    return router
