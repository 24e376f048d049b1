"""Rows as a Parquet file, written piece by piece into memory that is handed on at once; needs pyarrow, the extra."""

import importlib
import io
from collections.abc import Sequence
from typing import Any

__all__ = ["ParquetPages"]


class ParquetPages:
    """One Parquet file out of pages of (ticker, timestamp, price, exchange timestamp, source), all as text.

    Prices are decimal128(38, 18), which every reader knows; a price beyond it is refused, never rounded.
    Raises ImportError without pyarrow.
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
        """Write a row group; returns the bytes of the file that are ready."""
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
        return self._taken()

    def finish(self) -> bytes:
        """Close the file; returns its last bytes."""
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        # The writer counts its own position, so the memory behind it can be given away as it fills.
        ready = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return ready
