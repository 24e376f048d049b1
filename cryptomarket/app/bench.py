"""Measures this installation on loopback: a gateway beside a raw loop that does the same work, in one run.

Three processes of their own: the simulated exchange, a gateway with a temporary database, and `bench_relay.py`, a plain
asyncio program without checks, cohorts, resuming or history. This process reads all streams.
"""

import asyncio
import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
from anyio.abc import Process
from websockets.asyncio.client import connect

from ..database.engine import Database
from ..errors import CryptomarketError
from ..history.writer import HistoryWriter
from ..model import Price
from .server import streams_allowed

__all__ = ["Measured", "measure", "streams_possible"]

TICKER, STORED_TICKER = "btc_usd", "eth_usd"
#: Ten ticks a second, instead of one.
TIME_SCALE = 10
STORED_ROWS, PAGE_ROWS = 10_000, 1_000
JOIN_SECONDS, START_SECONDS, SETTLE_SECONDS = 20.0, 30.0, 1.0
#: Of the time that is asked for: each server's streams get this share, and each server's pages half of the rest.
STREAM_SHARE = 0.4
STAMP = b'"exchange_timestamp":'
MS = 1000


@dataclass(frozen=True)
class Measured:
    """The figures of one server; None where this system does not tell."""

    streams: int
    stream_memory_kb: float | None
    event_cpu_us: float | None
    deliveries_per_second: float
    tick_to_bytes_p50_ms: float
    tick_to_bytes_p99_ms: float
    page_p50_ms: float
    page_p99_ms: float


def streams_possible(wanted: int) -> int:
    """Raise the file limit of this process and its children as far as allowed; returns how many streams it holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, streams_allowed())


async def measure(streams: int, seconds: float, say: Callable[[str], None]) -> tuple[Measured, Measured]:
    """Return the figures of the gateway and of the raw loop. Raises CryptomarketError when a part does not start."""
    with tempfile.TemporaryDirectory(prefix="cryptomarket-bench-") as name:
        folder = Path(name)
        database = folder / "bench.db"
        say("filling a temporary database")
        first = await _fill(f"sqlite+aiosqlite:///{database}")
        simulate = ["-m", "cryptomarket", "simulate", "--port", "0", "--time-scale", str(TIME_SCALE)]
        async with _child(folder, "exchange", simulate) as exchange:
            line = await exchange.says("simulated exchange at ")
            ws_url, http_url = line.split()[3], line.split()[5]
            settings = _settings(streams, ws_url, http_url, database)
            async with (
                _child(folder, "gateway", ["-m", "cryptomarket", "serve", "--port", "0"], settings) as gateway,
                _child(folder, "relay", ["-m", f"{__package__}.bench_relay", ws_url, TICKER, str(database)]) as relay,
            ):
                serving = json.loads(await gateway.says('"event":"serving"', '"event": "serving"'))
                ports = int(serving["url"].rstrip("/").rpartition(":")[2]), int((await relay.says("ready ")).split()[1])
                found = []
                for child, port in zip((gateway, relay), ports, strict=True):
                    say(f"measuring the {child.name} with {streams} streams")
                    found.append(await _one(child, port, streams, seconds, ws_url, first))
                return found[0], found[1]


async def _fill(url: str) -> int:
    """Store prices of a ticker that is not streamed; returns the first timestamp."""
    first = int(time.time()) // 86_400 * 86_400 - 86_400 - STORED_ROWS * 60
    slots = range(first, first + STORED_ROWS * 60, 60)
    async with Database(url, pooled=False) as database:
        history = HistoryWriter(database, 60)
        await history.migrate()
        prices = (Price(STORED_TICKER, slot, Decimal(f"3120.{slot % 89}"), slot * MS) for slot in slots)
        await history.insert_missing(prices)
    return first


def _settings(streams: int, ws_url: str, http_url: str, database: Path) -> dict[str, str]:
    settings = {
        "DERIBIT_WS_URL": ws_url,
        "DERIBIT_HTTP_URL": http_url,
        "TICKERS": TICKER,
        "DATABASE_URL": f"sqlite+aiosqlite:///{database}",
        "MAX_STREAMS": str(streams + 100),
        "MAX_STREAMS_PER_ADDRESS": str(streams + 100),
        "REST_UNITS_PER_SECOND": "100000",
        "DRAIN_SECONDS": "0",
        "LOG_FORMAT": "json",
    }
    return {f"CRYPTOMARKET_{name}": value for name, value in settings.items()}


@dataclass
class _Child:
    """A process of the bench and the file that it prints to."""

    name: str
    process: Process
    output: Path

    async def says(self, *words: str) -> str:
        """Return the first line with one of the words. Raises CryptomarketError when it does not come."""
        with anyio.move_on_after(START_SECONDS):
            while self.process.returncode is None:
                for line in self.output.read_text(errors="replace").splitlines(keepends=True):
                    if line.endswith("\n") and any(word in line for word in words):
                        return line
                await anyio.sleep(0.02)
        last = "".join(self.output.read_text(errors="replace").splitlines()[-1:])
        raise CryptomarketError(f"the {self.name} of the bench did not start: {last or 'it printed nothing'}")

    def cpu_seconds(self) -> float | None:
        """The CPU time used so far."""
        try:
            return time.clock_gettime((~self.process.pid << 3) | 2)  # what clock_getcpuclockid(3) of Linux returns
        except OSError:
            return None

    def resident_kb(self) -> float | None:
        """The resident memory."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        except OSError:  # not Linux
            return None
        return int(pages) * resource.getpagesize() / 1024


@asynccontextmanager
async def _child(
    folder: Path, name: str, arguments: Sequence[str], settings: Mapping[str, str] | None = None
) -> AsyncIterator[_Child]:
    """Run a Python program in the folder, without settings of the caller; ends it with the block."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("CRYPTOMARKET_")}
    path = folder / f"{name}.log"
    with path.open("wb") as output:
        # In its own session, so that Ctrl-C reaches it only through this process.
        process = await anyio.open_process(
            [sys.executable, *arguments],
            cwd=folder,
            env={**kept, **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield _Child(name, process, path)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            with anyio.move_on_after(5):
                await process.wait()
            if process.returncode is None:
                process.kill()
            await process.wait()
            await process.aclose()


@dataclass
class _Crowd:
    """All readers of one server, and what they received while ``counting``."""

    joined: int = 0
    held: int = 0
    counting: bool = False
    #: The exchange's timestamp of each delivered tick and the moment of its arrival.
    ticks: list[tuple[bytes, float]] = field(default_factory=list)
    transports: list[asyncio.Transport] = field(default_factory=list)

    async def enter(self, port: int, count: int) -> None:
        """Open streams until there are ``count``, and wait for their first events."""
        loop = asyncio.get_running_loop()
        while len(self.transports) < count:
            transport, _ = await loop.create_connection(lambda: _Reader(self), "127.0.0.1", port)
            self.transports.append(transport)
        with anyio.move_on_after(JOIN_SECONDS):
            while self.joined < count:  # noqa: ASYNC110 - an event for each reader would cost what is measured
                await anyio.sleep(0.02)

    def leave(self) -> None:
        for transport in self.transports:
            transport.abort()


class _Reader(asyncio.Protocol):
    """One stream; events are counted by their timestamps."""

    def __init__(self, crowd: _Crowd) -> None:
        self._crowd, self._joined = crowd, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        head = "HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream"
        request = f"GET /sse/?timer=0&channels={TICKER} {head}\r\n\r\n"
        cast(asyncio.Transport, transport).write(request.encode())

    def data_received(self, data: bytes) -> None:
        crowd = self._crowd
        at = data.find(STAMP)
        if not self._joined and at >= 0:
            self._joined = True
            crowd.joined += 1
            crowd.held += 1
        if crowd.counting:
            now = time.perf_counter()
            while at >= 0:
                begin = at + len(STAMP)
                crowd.ticks.append((data[begin : begin + 13], now))
                at = data.find(STAMP, begin)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.held -= self._joined


async def _one(child: _Child, port: int, streams: int, seconds: float, ws_url: str, first: int) -> Measured:
    """Measure one server: its streams, then its pages."""
    crowd, due = _Crowd(), dict[bytes, float]()
    async with anyio.create_task_group() as tasks:
        await tasks.start(_subscribe, ws_url, due)
        try:
            few = max(1, streams // 10)
            await crowd.enter(port, few)
            await anyio.sleep(SETTLE_SECONDS / 2)
            small = child.resident_kb()
            await crowd.enter(port, streams)
            await anyio.sleep(SETTLE_SECONDS)
            memory, cpu, began = child.resident_kb(), child.cpu_seconds(), time.perf_counter()
            crowd.counting = True
            await anyio.sleep(seconds * STREAM_SHARE)
            crowd.counting = False
            used, passed, held = child.cpu_seconds(), time.perf_counter() - began, crowd.held
        finally:
            crowd.leave()
            tasks.cancel_scope.cancel()
    pages = await anyio.to_thread.run_sync(_pages, port, first, seconds * (0.5 - STREAM_SHARE), abandon_on_cancel=True)
    ages = sorted(max(0.0, arrived - due[stamp]) * MS for stamp, arrived in crowd.ticks if stamp in due)
    if not ages:
        raise CryptomarketError(f"the {child.name} of the bench delivered nothing: {child.output.read_text()[-300:]}")
    grown = None if memory is None or small is None else max(0.0, memory - small) / max(1, streams - few)
    return Measured(
        streams=held,
        stream_memory_kb=grown,
        event_cpu_us=None if used is None or cpu is None else (used - cpu) / len(crowd.ticks) * 1e6,
        deliveries_per_second=len(crowd.ticks) / passed,
        tick_to_bytes_p50_ms=_quantile(ages, 0.50),
        tick_to_bytes_p99_ms=_quantile(ages, 0.99),
        page_p50_ms=_quantile(pages, 0.50),
        page_p99_ms=_quantile(pages, 0.99),
    )


async def _subscribe(ws_url: str, due: dict[bytes, float], *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """Note when each tick reaches a subscriber of the exchange: from then on a server could have sent it."""
    async with connect(ws_url, proxy=None) as socket:
        channel = f"deribit_price_index.{TICKER}"
        call = {"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": {"channels": [channel]}}
        await socket.send(json.dumps(call))
        task_status.started()
        async for text in socket:
            now, message = time.perf_counter(), json.loads(text)
            if message.get("method") == "subscription":
                due.setdefault(str(message["params"]["data"]["timestamp"]).encode(), now)


def _pages(port: int, first: int, seconds: float) -> list[float]:
    """Read pages of the history, one after another; returns the sorted times in milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    taken: list[float] = []
    end = time.perf_counter() + max(0.2, seconds)
    while time.perf_counter() < end or len(taken) < 10:
        start = first + len(taken) * 7 % (STORED_ROWS - PAGE_ROWS) * 60
        began = time.perf_counter()
        connection.request("GET", f"/api/v1/prices?ticker={STORED_TICKER}&start={start}&limit={PAGE_ROWS}")
        response = connection.getresponse()
        rows = response.read().count(STAMP)
        taken.append((time.perf_counter() - began) * MS)
        if response.status != http.HTTPStatus.OK or rows != PAGE_ROWS:
            raise CryptomarketError(f"a page of the bench has status {response.status} and {rows} rows")
    connection.close()
    return sorted(taken[1:])  # the first one opens the connection


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
