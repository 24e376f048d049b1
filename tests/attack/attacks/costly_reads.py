"""Valid requests that cost much: wide pages, charts, exports, documents, bursts."""

from ..attacker import Attack, Attacker, request

__all__ = ["COSTLY_READS"]


class WideCandles(Attack):
    """10,000 candles in one answer, 55 ms each: eleven a second took a core."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        resolution = attacker.dice.choice(("1m", "5m", "1h"))
        return await attacker.get(f"/api/v1/candles?ticker=btc_usd&resolution={resolution}&limit=10000&order=desc")


class WideCharts(Attack):
    """10,000 candles of the chart datafeed, which are made into columns in this process."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        return await attacker.get("/udf/history?symbol=btc_usd&resolution=1&from=0&to=4000000000&countback=10000")


class WidePages(Attack):
    """10,000 prices in one page, some with an ETag that is computed and does not match."""

    per_second = 6

    async def attempt(self, attacker: Attacker) -> str:
        return await attacker.get("/api/v1/prices?ticker=btc_usd&limit=10000", 'If-None-Match: "x"')


class WideExports(Attack):
    """Exports of everything, read as fast as they come."""

    per_second = 1
    at_once = 20

    async def attempt(self, attacker: Attacker) -> str:
        form = attacker.dice.choice(("csv", "ndjson"))
        async with attacker.connected() as connection:
            connection.send(request(f"/api/v1/export.{form}?ticker=btc_usd", "Connection: close"))
            status = await connection.status()
            await connection.drain(20)
            return status


class Bursts(Attack):
    """Fifty small requests of one address, one after the other, as fast as they are answered."""

    per_second = 1
    at_once = 20

    async def attempt(self, attacker: Attacker) -> str:
        statuses = [await attacker.get("/api/v1/prices/latest?ticker=btc_usd") for _ in range(50)]
        return f"{statuses.count('200')} of 50 served"


class Documents(Attack):
    """The large documents: the API's description, the metrics, the status, the files of the pages, compressed."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        path = attacker.dice.choice(
            (
                "/openapi.json",
                "/docs",
                "/metrics",
                "/readyz",
                "/api/v1/status",
                "/api/v1/tickers?limit=10000",
                "/api/v1/instruments",
                "/static/messages/en.json",
                "/static/../../settings.py",
                "/static/%2e%2e/%2e%2e/settings.py",
            )
        )
        return await attacker.get(path, "Accept-Encoding: gzip")


class Methods(Attack):
    """Methods that no route serves, on every kind of route."""

    per_second = 8

    async def attempt(self, attacker: Attacker) -> str:
        method = attacker.dice.choice(("HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND"))
        path = attacker.dice.choice(
            ("/", "/sse/", "/sse", "/api/v1/prices?ticker=btc_usd", "/api/v1/export.csv?ticker=btc_usd", "/nothing")
        )
        return await attacker.get(path, method=method)


class CompressedFiles(Attack):
    """The largest file of the pages, compressed anew for each request."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        return await attacker.get("/static/swagger/swagger-ui-bundle.js", "Accept-Encoding: gzip")


class ManyRanges(Attack):
    """A thousand ranges of one file in one request."""

    per_second = 4

    async def attempt(self, attacker: Attacker) -> str:
        ranges = ",".join(f"{2 * n}-{2 * n}" for n in range(3_000))
        return await attacker.get("/static/site.css", f"Range: bytes={ranges}")


class ParquetExports(Attack):
    """Exports that are built in memory, where the extra for them is installed; else they are refused with 501."""

    per_second = 0.5
    at_once = 20

    async def attempt(self, attacker: Attacker) -> str:
        return await attacker.get("/api/v1/export.parquet?ticker=btc_usd")


COSTLY_READS = (
    WideCandles,
    WideCharts,
    WidePages,
    WideExports,
    ParquetExports,
    Bursts,
    Documents,
    CompressedFiles,
    ManyRanges,
    Methods,
)
