"""Exports: a whole range as CSV, NDJSON or Parquet, streamed page by page.

Each page borrows a connection for itself, so a slow client holds none.
"""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from ...history import prices as price_table
from ...history.export import CSV_HEADER, PAGE_ROWS, ParquetPages
from ...history.pages import Form, PageQuery, TextPage
from .completeness import Completeness
from .dependencies import HistoryDatabase, TickerNames
from .openapi import PRICE_PROBLEMS, problems, text_response
from .parameters import SortOrder, Ticker, Within

__all__ = ["export_router"]

_CSV = text_response(
    "A header and one line per price.",
    "text/csv",
    f"{CSV_HEADER}btc_usd,1763668800,64250.13,1763668859123\n",
)
_NDJSON = text_response(
    "One JSON price per line.",
    "application/x-ndjson",
    '{"ticker":"btc_usd","price":64250.13,"timestamp":1763668800,"exchange_timestamp":1763668859123}\n',
)
_PARQUET = text_response("A Parquet file.", "application/vnd.apache.parquet") | problems(501)


@dataclass(frozen=True, slots=True)
class Export:
    """The stored prices of a query's range, in pages of its limit; ``complete``: no slot that is due is missing."""

    database: HistoryDatabase
    query: PageQuery
    complete: bool

    async def pages(self, form: Form) -> AsyncIterator[TextPage]:
        """The pages, written by the database; no connection is held between two of them."""
        query = self.query
        while True:
            page = await self._page(form, query)
            yield page
            if page.next is None:
                return
            query = replace(query, after=page.next)

    async def _page(self, form: Form, query: PageQuery) -> TextPage:
        # A client that leaves cancels its export. A read that is cancelled costs the pool its connection.
        with anyio.CancelScope(shield=True):
            async with self.database.reading() as reader:
                page = await reader.read(price_table.text_page, form, query)
        return page

    async def text(self, form: Form, header: str = "") -> AsyncIterator[bytes]:
        """The export as lines of text."""
        if header:
            yield header.encode()
        async for page in self.pages(form):
            if page.text:
                yield page.text.encode()

    async def parquet(self, writer: ParquetPages) -> AsyncIterator[bytes]:
        """The export as one Parquet file with a row group per page."""
        async for page in self.pages("csv"):
            if chunk := await anyio.to_thread.run_sync(_row_group, writer, page.text):
                yield chunk
        yield await anyio.to_thread.run_sync(writer.finish)

    async def download(self, chunks: AsyncIterator[bytes], media_type: str, extension: str) -> Response:
        """The streamed response.

        The first chunk is read before the response starts: an unavailable database becomes a problem document, not a
        truncated file.
        """
        headers = {
            "Cache-Control": "no-store",
            "X-History-Complete": str(self.complete).lower(),
            "Content-Disposition": f'attachment; filename="{self.query.ticker}.{extension}"',
        }
        first = await anext(chunks, b"")

        async def all_chunks() -> AsyncIterator[bytes]:
            yield first
            async for chunk in chunks:
                yield chunk

        return StreamingResponse(all_chunks(), headers=headers, media_type=media_type)


def _row_group(writer: ParquetPages, text: str) -> bytes:
    return writer.add(list(csv.reader(io.StringIO(text))))


def export_router(database: HistoryDatabase, names: TickerNames, completeness: Completeness) -> APIRouter:
    """The routes of exports."""
    router = APIRouter(prefix="/api/v1", tags=["exports"], responses=PRICE_PROBLEMS)

    async def export(ticker: Ticker, within: Within, order: SortOrder = "asc") -> Export:
        async with database.reading() as reader:
            await names.check(ticker, reader)
            complete = await completeness.is_complete(ticker, within, reader)
        query = PageQuery(ticker, within.start, within.end, PAGE_ROWS, order=order)
        return Export(database, query, complete)

    Requested = Annotated[Export, Depends(export)]  # noqa: N806 - a type

    @router.get("/export.csv", summary="Prices as CSV", responses=_CSV, response_class=Response)
    async def as_csv(export: Requested) -> Response:
        """A header and one line per price, with every digit; `X-History-Complete` is false when any is missing."""
        return await export.download(export.text("csv", CSV_HEADER), "text/csv; charset=utf-8; header=present", "csv")

    @router.get("/export.ndjson", summary="Prices as NDJSON", responses=_NDJSON, response_class=Response)
    async def as_ndjson(export: Requested) -> Response:
        """One JSON price per line, in the same form as in every other response."""
        return await export.download(export.text("ndjson"), "application/x-ndjson", "ndjson")

    @router.get("/export.parquet", summary="Prices as Parquet", responses=_PARQUET, response_class=Response)
    async def as_parquet(export: Requested) -> Response:
        """Exact decimals and UTC timestamps in a compressed Parquet file; needs the extra `parquet`."""
        try:
            writer = ParquetPages()
        except ImportError as exc:
            raise HTTPException(501, "Parquet needs the extra: pip install 'cryptomarket[parquet]'") from exc
        return await export.download(export.parquet(writer), "application/vnd.apache.parquet", "parquet")

    return router
