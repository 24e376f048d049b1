"""Requests to the whole gateway as an ASGI application, in this process, with the CPU time that each takes."""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from starlette.types import ASGIApp, Message

from cryptomarket.app.gateway import Gateway
from cryptomarket.model import Instrument, InstrumentChanged
from cryptomarket.settings import read_settings
from tests.market.test_ticker_index import NAMES

from .site import prices

__all__ = ["Answer", "ask", "full_gateway"]

MINUTES = 10_500


@dataclass(frozen=True)
class Answer:
    """An answer, and its CPU time: of the event loop's thread, and of the whole process, in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    size: int
    loop_seconds: float
    process_seconds: float


async def ask(
    app: ASGIApp,
    path: str,
    query: bytes = b"",
    headers: Sequence[tuple[bytes, bytes]] = (),
    *,
    method: str = "GET",
    address: str = "127.0.0.1",
    body: bytes = b"",
    disconnects: bool = True,
    keep_body: bool = True,
) -> Answer:
    """Send one request; the client goes when its request has been read, unless it must see a streamed answer."""
    status, answered, chunks = 0, {}, [b""]
    size, requested = 0, False

    async def receive() -> Message:
        nonlocal requested
        if requested:
            await (anyio.lowlevel.checkpoint() if disconnects else anyio.sleep_forever())
            return {"type": "http.disconnect"}
        requested = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, size
        if message["type"] == "http.response.start":
            status = message["status"]
            answered.update({name.decode(): value.decode("latin-1") for name, value in message["headers"]})
        else:
            size += len(message.get("body", b""))
            if keep_body:
                chunks.append(message.get("body", b""))

    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1"), *headers],
        "client": (address, 1),
        "server": ("127.0.0.1", 80),
    }
    loop, process = time.thread_time(), time.process_time()
    await app(scope, receive, send)
    loop, process = time.thread_time() - loop, time.process_time() - process
    return Answer(status, answered, b"".join(chunks), size, loop, process)


def _option(name: str) -> Instrument:
    words, strike, tick_size = ("option", "btc_usd", "BTC"), Decimal(100_000), Decimal("0.0001")
    return Instrument(name, *words, 1_798_185_600, strike, "call", Decimal(1), tick_size)


@contextlib.asynccontextmanager
async def full_gateway(folder: Path, *, minutes: int = MINUTES, **settings: object) -> AsyncIterator[Gateway]:
    """A gateway without an exchange, but with all names of one and a week of prices with a gap."""
    values = {
        "database_url": f"sqlite+aiosqlite:///{folder / 'x.db'}",
        "deribit_ws_url": "ws://127.0.0.1:1/",
        "deribit_http_url": "http://127.0.0.1:1",
        "drain_seconds": 0,
    }
    gateway = Gateway(read_settings(**{**values, **settings}))
    for name in NAMES:
        gateway._catalogue.on_message(InstrumentChanged(name, listed=True, instrument=_option(name)))
    gateway._catalogue._fetched_at = time.time()
    async with gateway.running():
        newest = int(time.time()) // 60 * 60 - 120
        rows = prices("btc_usd", newest - 60 * minutes, minutes)
        await gateway.history.insert_missing(rows[: minutes // 2] + rows[minutes // 2 + 3 :])
        yield gateway
        await gateway.drain()
