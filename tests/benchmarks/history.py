"""The cost of the history beside the bare driver and beside a usual implementation, in one run.

    python -m tests.benchmarks.history [--rows 10000000] [--only sqlite]

A p99 is that of the middle of three runs. Requests pass the whole application in process, without a socket.
"""

import argparse
import asyncio
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import aiosqlite
import asyncpg
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cryptomarket.database.schema import prices as table
from cryptomarket.history import candles_table, ledger, prices
from cryptomarket.history.pages import PageQuery
from cryptomarket.history.recorder import Recorder
from cryptomarket.market.latest import LatestValues
from cryptomarket.model import Tick
from cryptomarket.web.app import web_app
from cryptomarket.web.health import Health
from tests.databases import StoredHistory, running_postgres

START = 1_577_836_800  # 2020-01-01
TICKER = "btc_usd"


def fill_sqlite(path: str, rows: int) -> None:
    """Insert a row a minute, their ledger and their minute candles."""
    import sqlite3

    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany(
            "INSERT INTO prices VALUES (?, ?, ?, ?, 'live', 1)",
            (
                (TICKER, START + 60 * n, f"{60000 + n % 9973}.{n % 100:02}", (START + 60 * n) * 1000 + 59_000)
                for n in range(rows)
            ),
        )
        connection.executemany(
            "INSERT INTO candles VALUES (?, 60, ?, ?, ?, ?, ?, 60)",
            ((TICKER, START + 60 * n, "1.5", "3.25", "1.25", "2.5") for n in range(min(rows, 1_000_000))),
        )
        ledger = "INSERT INTO ledger VALUES (?, ?, ?, 'observed', 60, NULL, NULL)"
        connection.execute(ledger, (TICKER, START, START + 60 * rows))
    connection.close()


async def fill_postgresql(store: StoredHistory, rows: int) -> None:
    """Insert the same rows with PostgreSQL's generate_series."""
    async with store.database.writers.begin() as connection:
        await connection.execute(text("SET LOCAL synchronous_commit = off"))
        for first in range(0, rows, 500_000):
            await connection.execute(
                text(
                    "INSERT INTO prices SELECT :t, :s + 60 * n, 60000 + n % 9973 + (n % 100) / 100.0, "
                    "(:s + 60 * n) * 1000 + 59000, 'live', 1 FROM generate_series(CAST(:a AS bigint), :b) AS n"
                ),
                {"t": TICKER, "s": START, "a": first, "b": min(first + 500_000, rows) - 1},
            )
        await connection.execute(
            text(
                "INSERT INTO candles SELECT :t, 60, :s + 60 * n, 1.5, 3.25, 1.25, 2.5, 60 "
                "FROM generate_series(CAST(0 AS bigint), :b) AS n"
            ),
            {"t": TICKER, "s": START, "b": min(rows, 1_000_000) - 1},
        )
        await connection.execute(
            text("INSERT INTO ledger VALUES (:t, :s, :e, 'observed', 60, NULL, NULL)"),
            {"t": TICKER, "s": START, "e": START + 60 * rows},
        )
    async with store.database.readers.connect() as connection:
        await connection.execute(text("VACUUM ANALYZE prices"))


async def ask(app: Any, path: str, query: str, take: Callable[[bytes], None] = lambda _: None) -> int:
    """Send a request through the application; return its status."""
    status = 0

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            take(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"bench")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return status


async def times(work: Callable[[int], Awaitable[object]], rounds: int) -> list[float]:
    """Return the milliseconds of each round, sorted."""
    taken = []
    for n in range(rounds):
        began = time.perf_counter()
        await work(n)
        taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


async def middle_of_three(work: Callable[[int], Awaitable[object]], rounds: int) -> list[float]:
    """Return the times of the run of three with the middle p99, because other programs share the machine."""
    return sorted([await times(work, rounds) for _ in range(3)], key=p99)[1]


def p50(taken: list[float]) -> float:
    """Return the median."""
    return statistics.median(taken)


def p99(taken: list[float]) -> float:
    """Return the 99th percentile."""
    return taken[int(len(taken) * 0.99) - 1]


class Row(BaseModel):
    """A row of the usual implementation."""

    ticker: str
    timestamp: int
    price: float
    exchange_timestamp: int


def usual_answer(store: StoredHistory) -> FastAPI:
    """Return the usual implementation: FastAPI, a pydantic model for each row, and OFFSET."""
    app = FastAPI()
    sessions = async_sessionmaker(store.database.readers)

    async def session() -> Any:
        async with sessions() as opened:
            yield opened

    @app.get("/prices")
    async def prices(
        db: Annotated[AsyncSession, Depends(session)], ticker: str, offset: int = 0, limit: int = 1000
    ) -> list[Row]:
        wanted = select(table).where(table.c.ticker == ticker).order_by(table.c.timestamp)
        rows = await db.execute(wanted.offset(offset).limit(limit))
        return [
            Row(ticker=r.ticker, timestamp=r.timestamp, price=float(r.price), exchange_timestamp=r.exchange_timestamp)
            for r in rows
        ]

    return app


class Bench:
    """The measurements of one database, which are printed one by one."""

    def __init__(self, kind: str, store: StoredHistory, rows: int, rounds: int) -> None:
        self.kind = kind
        self.store = store
        self.rows = rows
        self.rounds = rounds
        self.failed: list[str] = []
        names = type("Names", (), {"known": lambda *_: True, "nearest": lambda *_: [], "search": lambda *_: iter(())})()

        async def health() -> Health:
            return Health({})

        self.app = web_app(
            tickers=[TICKER],
            latest=LatestValues([TICKER], monotonic=time.monotonic, wall=time.time),
            database=store.database,
            stream=lambda *_: None,  # type: ignore[arg-type]
            catalogue=names,
            interval=60,
            health=health,
        )

    def say_p99(self, what: str, taken: list[float], reach: float) -> None:
        """Print a p99; the median beside it distinguishes a busy machine from a slow program."""
        self.say(f"{what}, p99 (p50 {p50(taken):.2f})", p99(taken), "ms", reach)

    def say(self, what: str, value: float, unit: str, reach: float, *, at_least: bool = False) -> None:
        """Print a measure and whether it reaches the wanted value."""
        well = value >= reach if at_least else value <= reach
        sign = ">=" if at_least else "<="
        print(
            f"{self.kind:<11}{what:<56}{value:>12,.2f} {unit:<8} {sign} {reach:g} {'' if well else '  MISSED'}",
            flush=True,
        )
        if not well:
            self.failed.append(f"{self.kind}: {what}")

    async def pages(self) -> None:
        """Measure pages of 1,000 rows: whole requests, the last page, the bare driver, the usual implementation."""
        path = "/api/v1/prices"
        deep = START + 60 * (self.rows - 2_000)

        async def page(position: int) -> None:
            assert await ask(self.app, path, f"ticker={TICKER}&limit=1000&cursor=asc-{position}") == 200

        for _ in range(50):
            await page(START)
        first = await middle_of_three(lambda n: page(START + n), self.rounds)
        last = await times(lambda n: page(deep + n), self.rounds)
        self.say_p99("page of 1,000 rows, whole request", first, 5)
        self.say("page at the end over page 1, median", p50(last) / p50(first), "times", 1.2)
        await self.floor(deep)
        await self.usual(p50(first))

    async def floor(self, position: int) -> None:
        """Measure the statement of a page with our reader and with the bare driver."""
        query = PageQuery(TICKER, after=position)
        values = {**query.parameters(), "before_price": '{"ticker":"btc_usd","price":'}

        async def ours(n: int) -> None:
            page = await self.store.database.read(prices.text_page, "json", replace(query, after=position + n))
            assert page.count == 1000

        bare = await bare_driver(self.store, prices.text_page_statement("json", "asc"), values)
        await times(bare, 30)
        floor, reader = await times(bare, self.rounds), await times(ours, self.rounds)
        self.say("our reader over the bare driver, median", p50(reader) / p50(floor), "times", 1.6)

    async def usual(self, ours: float) -> None:
        """Measure the first and the last page of the usual implementation."""
        app = usual_answer(self.store)
        few = max(3, self.rounds // 50)
        front = await times(lambda _: ask(app, "/prices", f"ticker={TICKER}"), few * 5)
        behind = await times(lambda _: ask(app, "/prices", f"ticker={TICKER}&offset={self.rows - 2_000}"), few)
        self.say("usual answer (pydantic, OFFSET 0) over ours", p50(front) / ours, "times", 2, at_least=True)
        self.say("usual answer (OFFSET to the end) over ours", p50(behind) / ours, "times", 10, at_least=True)

    async def charts(self) -> None:
        """Measure 1,000 candles and the coverage of a year."""
        year = START + min(365 * 86_400, self.rows * 60)

        async def candles(n: int) -> None:
            query = PageQuery(TICKER, start=START + 60 * n)
            found = await self.store.database.read(candles_table.text_page, "1m", query)
            assert found is not None
            assert found.count == 1000

        async def request(n: int) -> None:
            within = f"start={START + 60 * n}&end={START + 60 * (n + 1000)}"
            assert await ask(self.app, "/api/v1/candles", f"ticker={TICKER}&limit=1000&{within}") == 200

        async def coverage(_: int) -> None:
            assert (await self.store.database.read(ledger.coverage, TICKER, START, year)).complete

        await times(candles, 20)
        self.say_p99("1,000 candles as JSON", await middle_of_three(candles, self.rounds), 3)
        await times(request, 20)
        self.say_p99("1,000 candles, whole request", await middle_of_three(request, self.rounds), 5)
        self.say_p99("coverage of a year", await middle_of_three(coverage, self.rounds), 1)

    async def export(self) -> None:
        """Measure the export of all rows as CSV."""
        size = 0

        def take(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.perf_counter()
        assert await ask(self.app, "/api/v1/export.csv", f"ticker={TICKER}", take) == 200
        taken = time.perf_counter() - began
        assert size > self.rows * 30
        self.say("export as CSV", self.rows / taken, "rows/s", 500_000, at_least=True)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        self.say("memory an export added", grown, "MB", 64)

    async def record(self, seconds: int = 10) -> None:
        """Measure the CPU of recording 60 tickers with a row a second and four ticks in it."""
        store = StoredHistory(self.store.database.url.render_as_string(hide_password=False), interval=1)
        async with store:
            recorder = Recorder(store, interval=1, epoch=await store.take_epoch())
            used = time.process_time()
            began = time.perf_counter()
            for second in range(seconds):
                for n in range(240):
                    moment = (START + 10**9 + second) * 1000 + n * 4
                    recorder.on_message(Tick(f"ticker_{n % 60}", Decimal("64250.13"), moment, epoch=1))
                await recorder.write()
                await asyncio.sleep(max(0.0, began + second + 1 - time.perf_counter()))
            used = time.process_time() - used
        self.say("CPU to record 60 tickers a second", used / seconds * 100, "% core", 2)


async def bare_driver(
    store: StoredHistory, statement: Any, given: dict[str, Any]
) -> Callable[[int], Awaitable[object]]:
    """Return a function that runs the statement on an open connection of the bare driver."""
    url = store.database.url
    compiled = statement.compile(dialect=store.database.readers.dialect)
    expanded = compiled.construct_expanded_state(given)
    values = list(expanded.positional_parameters)
    if url.get_backend_name() == "sqlite":
        connection = await aiosqlite.connect(url.database or "")
        OPEN.append(connection.close)

        async def on_sqlite(_: int) -> object:
            async with connection.execute(expanded.statement, values) as cursor:
                return await cursor.fetchall()

        return on_sqlite
    native = await asyncpg.connect(user="postgres", database=url.database, host=str(url.query["host"]))
    OPEN.append(native.close)
    prepared = await native.prepare(expanded.statement)
    return lambda _: prepared.fetch(*values)


OPEN: list[Callable[[], Awaitable[object]]] = []


async def measure(kind: str, url: str, rows: int, rounds: int) -> list[str]:
    """Fill the database and measure it; return the names of missed values."""
    async with StoredHistory(url) as store:
        await store.migrate()
        began = time.perf_counter()
        if kind == "sqlite":
            await asyncio.to_thread(fill_sqlite, store.database.place, rows)
        else:
            await fill_postgresql(store, rows)
        print(f"{kind:<11}{rows:,} rows made in {time.perf_counter() - began:.0f} s", flush=True)
        bench = Bench(kind, store, rows, rounds)
        try:
            await bench.pages()
            await bench.charts()
            await bench.export()
            await bench.record()
        finally:
            while OPEN:
                await OPEN.pop()()
        return bench.failed


def main() -> int:
    """Measure both databases; return 1 if a value was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    wanted = parser.parse_args()
    failed: list[str] = []
    if wanted.only != "postgresql":
        folder = Path(tempfile.mkdtemp(prefix="cm-bench-"))
        try:
            url = f"sqlite+aiosqlite:///{folder / 'bench.db'}"
            failed += asyncio.run(measure("sqlite", url, wanted.rows, wanted.rounds))
        finally:
            shutil.rmtree(folder)
    if wanted.only != "sqlite":
        with running_postgres(fsync=True) as server:
            failed += asyncio.run(measure("postgresql", server.create(), wanted.rows, wanted.rounds))
    for line in failed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
