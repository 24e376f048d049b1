"""The query of a page of prices or candles, and a page as text: plain values."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Form", "Order", "PageQuery", "TextPage"]

Order = Literal["asc", "desc"]
#: How the database writes a page: members of a JSON array, lines of JSON, lines of CSV.
Form = Literal["json", "ndjson", "csv"]

#: Bounds of an open range, outside of every moment.
EARLIEST, LATEST = 0, 2**53


@dataclass(frozen=True, slots=True)
class PageQuery:
    """One page of a ticker: `start` <= timestamp < `end` (UNIX seconds; None is open), at most `limit` rows.

    `after` is the last timestamp of the page before, in the query's order; None for the first page.
    """

    ticker: str
    start: int | None = None
    end: int | None = None
    limit: int = 1_000
    after: int | None = None
    order: Order = "asc"

    def contains(self, timestamp: int) -> bool:
        """Whether a timestamp is in the range and after the position."""
        low, high = self._bounds()
        return low <= timestamp < high

    def parameters(self) -> dict[str, Any]:
        """The parameters of a statement: the page is all that lies in [low, high), up to the limit.

        The position narrows the range, so that page 5,000 costs what page 1 costs. OFFSET would read all before it.
        """
        low, high = self._bounds()
        return {"ticker": self.ticker, "low": low, "high": high, "limit": self.limit}

    def _bounds(self) -> tuple[int, int]:
        low = EARLIEST if self.start is None else self.start
        high = LATEST if self.end is None else self.end
        if self.after is None:
            return low, high
        return (max(low, self.after + 1), high) if self.order == "asc" else (low, min(high, self.after))


@dataclass(frozen=True, slots=True)
class TextPage:
    """A page that the database wrote; `next` is the `after` of the following page, None on the last one."""

    text: str
    count: int
    next: int | None = None
