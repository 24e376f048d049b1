"""The raw loop of `cryptomarket bench`: what the work costs without a gateway around it.

    python -m cryptomarket.app.bench_relay WS_URL TICKER DATABASE

It subscribes to the ticker, writes each tick to every connection, and answers a page of prices from SQLite.
"""

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import Callable
from typing import cast
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.client import connect

__all__ = ["Relay"]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\nretry: 3000\n\n"
PAGE = "SELECT timestamp, price, exchange_timestamp FROM prices WHERE ticker = ? AND timestamp >= ? ORDER BY 1 LIMIT ?"


class Relay:
    """Every open stream, and the database of the pages."""

    def __init__(self, database: str) -> None:
        self.streams: set[asyncio.Transport] = set()
        self.newest = b""
        self._database = sqlite3.connect(database)

    async def run(self, ws_url: str, ticker: str) -> None:
        """Write every tick to every stream, until cancelled."""
        async with connect(ws_url, proxy=None) as socket:
            params = {"channels": [f"deribit_price_index.{ticker}"]}
            await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "public/subscribe", "params": params}))
            number = 0
            async for text in socket:
                message = json.loads(text)
                if message.get("method") == "subscription":
                    number += 1
                    self.newest = self._frame(number, ticker, **message["params"]["data"])
                    for stream in self.streams:
                        stream.write(self.newest)

    def _frame(self, number: int, ticker: str, *, price: float, timestamp: int, **_: object) -> bytes:
        value = {"ticker": ticker, "price": price, "timestamp": timestamp // 1000, "exchange_timestamp": timestamp}
        return f"id: 1-{number}\nevent: {ticker}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()

    def page(self, query: str) -> bytes:
        """Return the response with one page."""
        (ticker,), (start,), (limit,) = (parse_qs(query)[name] for name in ("ticker", "start", "limit"))
        rows = self._database.execute(PAGE, (ticker, int(start), int(limit))).fetchall()
        data = [
            {"ticker": ticker, "price": float(price), "timestamp": timestamp, "exchange_timestamp": ms}
            for timestamp, price, ms in rows
        ]
        body = json.dumps({"ticker": ticker, "data": data}, separators=(",", ":")).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class _Connection(asyncio.Protocol):
    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        target = urlsplit(data.split(maxsplit=2)[1].decode())
        if target.path == "/sse/":
            self._transport.write(HEAD + self._relay.newest)
            self._relay.streams.add(self._transport)
        else:
            self._transport.write(self._relay.page(target.query))

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.streams.discard(self._transport)


async def main(ws_url: str, ticker: str, database: str) -> None:
    """Serve on a free port of loopback, and print it."""
    relay = Relay(database)
    server = await asyncio.get_running_loop().create_server(lambda: _Connection(relay), "127.0.0.1", 0, backlog=4096)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await relay.run(ws_url, ticker)


if __name__ == "__main__":
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):  # it does not exist for Windows
        from uvloop import new_event_loop as loop_factory
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main(*sys.argv[1:]))
