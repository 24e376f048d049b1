"""What the dearest anonymous request of each route costs: `make bench-costs`, half a minute, in this process.

CPU is of the event loop's thread and of the whole process, which includes the database's; memory is Python's peak.
"""

import statistics
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import anyio
from starlette.types import ASGIApp

from cryptomarket.logs import configure_logs
from tests.web.in_process import ask, full_gateway

ROUNDS = 9
#: A misspelt name, for which the nearest are searched.
UNKNOWN = "BTC-25DEC26-99999-X"


TOKEN = ((b"authorization", b"Bearer " + b"A" * 32_000),)


@dataclass(frozen=True)
class Case:
    """The dearest request of a route, and what bounds it."""

    path: str
    query: str
    bounded_by: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    method: str = "GET"


CASES = (
    Case("/", "lang=en", "the template; the rate limit"),
    Case("/history", "lang=en", "the template; the rate limit"),
    Case("/status", "lang=en", "the template; the rate limit"),
    Case("/docs", "lang=en", "the template; the rate limit"),
    Case(
        "/static/swagger/swagger-ui-bundle.js", "", "the largest file, sent in pieces; compressed once; the rate limit"
    ),
    Case("/openapi.json", "", "one document; the rate limit"),
    Case("/healthz", "", "nothing is computed"),
    Case("/readyz", "", "one statement"),
    Case("/metrics", "", "operators only"),
    Case("/api/v1/status", "", "the rate limit; details for operators only"),
    Case("/api/v1/tickers", "", "the number of names; the rate limit"),
    Case("/api/v1/instruments", "", "1,000 of 6,000 instruments; the rate limit"),
    Case("/api/v1/prices/latest", f"ticker={UNKNOWN}", "24 candidates; the rate limit"),
    Case("/api/v1/prices", "ticker=btc_usd&limit=10000", "`limit`; charged before it runs"),
    Case(
        "/api/v1/prices/filter", "ticker=btc_usd&start_date=2020-01-01&limit=10000", "`limit`; charged before it runs"
    ),
    Case("/api/v1/candles", "ticker=btc_usd&limit=10000", "`limit`; charged before it runs"),
    Case("/api/v1/coverage", "ticker=btc_usd", "the intervals of the ledger; the rate limit"),
    Case("/api/v1/export.csv", "ticker=btc_usd", "pages of 2,000 rows; slows down to the rate"),
    Case("/api/v1/export.ndjson", "ticker=btc_usd", "pages of 2,000 rows; slows down to the rate"),
    Case("/api/v1/export.parquet", "ticker=btc_usd", "pages of 2,000 rows; slows down to the rate"),
    Case("/udf/config", "", "nothing is computed"),
    Case("/udf/time", "", "nothing is computed"),
    Case("/udf/symbols", f"symbol={UNKNOWN}", "24 candidates; the rate limit"),
    Case("/udf/search", "limit=1000", "`limit`; the rate limit"),
    Case("/udf/history", "symbol=btc_usd&resolution=1&from=0&to=1999999999", "10,000 candles; charged after it ran"),
    Case("/api/v1/persons/login", "", "a body of 4 KB; limits of log-ins", ((b"content-type", b"text/plain"),), "POST"),
    Case(
        "/api/v1/persons/me",
        "",
        "a token of bounded length; the rate limit",
        TOKEN,
    ),
    Case("/api/v1/persons/coinbase", "", "limits of log-ins; the rate limit"),
    Case("/api/v1/persons/coinbase/callback", "state=x&code=y", "the same"),
    Case("/api/v1/persons/me/sessions", "", "the same", TOKEN),
    Case("/api/v1/persons/me/sessions/{login}", "", "the same", TOKEN, "DELETE"),
    Case("/api/v1/persons/me/account", "", "the same", TOKEN),
    Case("/sse/", f"channels={UNKNOWN}", "the nearest names, searched for ten refused streams a second"),
)


async def cost(app: ASGIApp, case: Case) -> tuple[int, float, float, int, int]:
    """Status, milliseconds of the loop and of the process (medians), peak of memory and size of the body in bytes."""
    asked = [
        await ask(
            app, case.path, case.query.encode(), case.headers, method=case.method, address="192.0.2.7", keep_body=False
        )
        for _ in range(ROUNDS)
    ]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await ask(
        app, case.path, case.query.encode(), case.headers, method=case.method, address="192.0.2.7", keep_body=False
    )
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    loop, whole = (
        statistics.median(times) * 1000
        for times in ([a.loop_seconds for a in asked], [a.process_seconds for a in asked])
    )
    return asked[0].status, loop, whole, peak, asked[0].size


async def main() -> None:
    """Print the table."""
    configure_logs("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        async with full_gateway(Path(folder), rest_units_per_second=1e9, coinbase_client_id="our-app") as gateway:
            started = time.perf_counter()
            print("| route | status | CPU of the event loop | CPU in all | memory | response | bounded by |")
            print("| --- | --- | --- | --- | --- | --- | --- |")
            for case in CASES:
                status, loop, whole, peak, size = await cost(gateway.app, case)
                numbers = f"{loop:.1f} ms | {whole:.1f} ms | {peak / 1000:,.0f} KB | {size / 1000:,.0f} KB"
                print(f"| `{case.path}` | {status} | {numbers} | {case.bounded_by} |", flush=True)
            print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    anyio.run(main)
