"""Honest readers of the REST API and the probes of a load balancer, each request on a connection of its own."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .attacker import request

__all__ = ["HEALTH_SECONDS", "Requests", "answer", "percentile", "probe", "read_each_second"]

#: What a reader of the pages requests again and again.
PATHS = (
    "/api/v1/prices/latest?ticker=btc_usd",
    "/api/v1/prices?ticker=btc_usd&limit=100&order=desc",
    "/api/v1/candles?ticker=btc_usd&resolution=1m&limit=200&order=desc",
    "/api/v1/prices/latest?ticker=eth_usd",
    "/udf/history?symbol=btc_usd&resolution=1&from=0&to=4000000000&countback=200",
    "/history",
)
READER_SECONDS = 1.0
HEALTH_SECONDS = 0.2
#: An answer that takes longer is counted as one that never came.
MOST_SECONDS = 10.0


def percentile(values: list[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed; 0 without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class Requests:
    """The seconds of each answer, and what went wrong; ``bad`` counts by status or error."""

    seconds: list[float] = field(default_factory=list)
    bad: Counter[str] = field(default_factory=Counter)

    def p99(self) -> float:
        """Return the seconds that 99 of 100 answers did not exceed."""
        return percentile(self.seconds, 0.99)


async def answer(address: str, port: int, raw: bytes, seconds: float = MOST_SECONDS) -> tuple[int, bytes]:
    """Send a request from an address; return the status and the whole answer. Raises OSError and TimeoutError."""
    connection = socket.socket()
    connection.setblocking(False)
    try:
        async with asyncio.timeout(seconds):
            connection.bind((address, 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, raw)
            parts = []
            while part := await loop.sock_recv(connection, 262_144):
                parts.append(part)
    finally:
        connection.close()
    whole = b"".join(parts)
    if not whole.startswith(b"HTTP/1.1 "):
        raise ConnectionError("closed without an answer")
    return int(whole[9:12]), whole


async def _measured(address: str, port: int, path: str, results: Callable[[], Requests]) -> None:
    began = time.monotonic()
    try:
        status, _ = await answer(address, port, request(path, "Connection: close"))
    except (OSError, TimeoutError) as exc:
        results().bad[type(exc).__name__] += 1
        results().seconds.append(MOST_SECONDS)
        return
    results().seconds.append(time.monotonic() - began)
    if status != 200:
        results().bad[str(status)] += 1


async def read_each_second(number: int, port: int, results: Callable[[], Requests]) -> None:
    """Read from an address of its own, once a second, until cancelled; ``results`` returns where to count now."""
    await asyncio.sleep(READER_SECONDS * (number % 20) / 20)
    turn = number
    while True:
        began = time.monotonic()
        await _measured(f"127.3.0.{number + 1}", port, PATHS[turn % len(PATHS)], results)
        turn += 1
        await asyncio.sleep(max(0.0, began + READER_SECONDS - time.monotonic()))


async def probe(port: int, path: str, period: float, results: Callable[[], Requests]) -> None:
    """Probe a path at a fixed period, whether or not the last probe was answered, until cancelled."""
    async with asyncio.TaskGroup() as probes:
        while True:
            probes.create_task(_measured("127.5.0.1", port, path, results))
            await asyncio.sleep(period)
