"""What a request costs, in units of about one millisecond of CPU: expected before it runs, known after it. Pure.

docs/security.md has the measured costs of each route.
"""

import re

__all__ = ["expected_cost", "is_streamed", "produced_cost"]

#: Requests that cost nothing: load balancers and orchestrators must get an answer while an address is limited.
FREE = ("/healthz", "/readyz")
#: A request to a route, and to a file.
ROUTE, FILE = 1.0, 0.25
#: A request that was refused may have searched for the nearest names.
REFUSED = 2.0
#: Bytes of a response that cost one unit: the database writes the text of a page, Python does more for each row.
BYTES = {
    "/static/": 1_000_000,
    "/api/v1/tickers": 200_000,
    "/api/v1/instruments": 40_000,
    "/api/v1/candles": 30_000,
    "/udf/history": 20_000,
    "/api/v1/export.parquet": 5_000,
}
OTHER_BYTES = 60_000
#: What an export costs at least, as its first page is made before the response begins.
EXPORT = 15.0
#: Bars of TradingView's datafeed in a request that does not say how many it wants, such as one of a range.
BARS = 10_000
#: Characters of a candle or a price in a response, to expect the cost of the `limit` that a client asks for.
ROW_BYTES = 95

_ROWS = re.compile(r"(?:^|&)(?:limit|countback)=0{0,9}([0-9]{1,5})(?=&|$)")


def expected_cost(path: str, query: str) -> float:
    """The cost of a request as far as its address tells: a named number of rows, or the first page of an export."""
    if path in FREE:
        return 0.0
    if path.startswith("/static/"):
        return FILE
    if is_streamed(path):
        return EXPORT
    found = _ROWS.search(query)
    rows = min(int(found[1]), 10_000) if found else BARS if path == "/udf/history" else 0
    return ROUTE + rows * ROW_BYTES / _bytes(path)


def is_streamed(path: str) -> bool:
    """Whether the response is made page by page."""
    return path.startswith("/api/v1/export.")


def produced_cost(path: str, status: int, size: int) -> float:
    """The cost of a request that was answered with this status and so many bytes."""
    if path in FREE:
        return 0.0
    if 400 <= status < 500:
        return ROUTE + REFUSED
    return (FILE if path.startswith("/static/") else ROUTE) + size / _bytes(path)


def _bytes(path: str) -> int:
    return BYTES["/static/"] if path.startswith("/static/") else BYTES.get(path, OTHER_BYTES)
