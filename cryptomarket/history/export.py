"""Exports of stored prices: text page by page, and the Parquet file that is built from the same pages."""

import importlib
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from . import prices
from .pages import Form, PageQuery

__all__ = ["CSV_HEADER", "PAGE_ROWS", "ParquetPages", "write_export"]

CSV_HEADER = "ticker,timestamp,price,exchange_timestamp,source\n"
#: Rows of a page: 200 KB at most, which an export whose client does not read holds three times.
PAGE_ROWS = 2_000


def write_export(connection: Connection, write: Callable[[str], object], form: Form, query: PageQuery) -> int:
    """Write every price of the query's range as lines of CSV or NDJSON; returns how many.

    The query's `limit` is the number of rows of a page.
    """
    if form == "csv":
        write(CSV_HEADER)
    rows = 0
    while True:
        page = prices.text_page(connection, form, query)
        write(page.text)
        rows += page.count
        if page.next is None:
            return rows
        query = replace(query, after=page.next)


class ParquetPages:
    """Builds one Parquet file from pages of (ticker, timestamp, price, exchange timestamp, source), all as text.

    Prices are decimal128(38, 18), which every reader of Parquet supports; a price with more digits raises, it is never
    rounded. The constructor raises ImportError without pyarrow, which is the extra `parquet`.
    """

    def __init__(self) -> None:
        self._arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        pa = self._arrow
        self._schema = pa.schema(
            [
                pa.field("ticker", pa.dictionary(pa.int32(), pa.string()), nullable=False),
                pa.field("timestamp", pa.timestamp("s", tz="UTC"), nullable=False),
                pa.field("price", pa.decimal128(38, 18), nullable=False),
                pa.field("exchange_timestamp", pa.timestamp("ms", tz="UTC"), nullable=False),
                pa.field("source", pa.dictionary(pa.int32(), pa.string()), nullable=False),
            ]
        )
        self._sink = io.BytesIO()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")

    def add(self, rows: Sequence[Sequence[str]]) -> bytes:
        """Write the rows as a row group; returns the bytes of the file that are ready."""
        if not rows:
            return b""
        pa = self._arrow
        columns = list(zip(*rows, strict=True))
        arrays = [
            pa.array(columns[0]).dictionary_encode(),
            pa.array([int(value) for value in columns[1]]).cast(self._schema.field(1).type),
            pa.array(columns[2]).cast(self._schema.field(2).type),
            pa.array([int(value) for value in columns[3]]).cast(self._schema.field(3).type),
            pa.array(columns[4]).dictionary_encode(),
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        return self._take()

    def finish(self) -> bytes:
        """Close the file; returns its last bytes."""
        self._writer.close()
        return self._take()

    def _take(self) -> bytes:
        # The writer counts its own position, so the memory behind that position can be freed.
        ready = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return ready
