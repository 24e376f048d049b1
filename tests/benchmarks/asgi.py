"""What a stream of the whole gateway costs under our own server and under other people's: memory and CPU time.

python -m tests.benchmarks.asgi [STREAMS]
"""

import selectors
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

import anyio
import anyio.to_thread
import psutil

from cryptomarket.simulator.exchange import running_exchange
from tests.asgi_servers import SERVERS, Site, running_server

__all__ = ["other_servers"]

REQUEST = b"GET /sse/?timer=0 HTTP/1.1\r\nHost: x\r\n\r\n"
#: These streams come first: the program allocates its own buffers with them.
FIRST_STREAMS = 100
SECONDS = 10.0


class Readers(threading.Thread):
    """Reads all its streams and counts their events."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.events = 0
        self._port = port
        self._streams = selectors.DefaultSelector()
        self._stopping = False

    def open(self, count: int) -> None:
        """Open streams, 500 a second."""
        for _ in range(count):
            stream = socket.create_connection(("127.0.0.1", self._port))
            stream.sendall(REQUEST)
            self._streams.register(stream, selectors.EVENT_READ)
            time.sleep(0.002)

    def run(self) -> None:
        """Read until stopped."""
        while not self._stopping:
            for key, _ in self._streams.select(0.2):
                self.events += socket.socket.recv(key.fileobj, 65_536).count(b"event: ")  # type: ignore[arg-type]

    def stop(self) -> None:
        """Close every stream."""
        self._stopping = True
        self.join()
        for key in list(self._streams.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]


def serving(site: Site) -> psutil.Process:
    """The process that serves: the largest of the server and its workers."""
    processes = [psutil.Process(pid) for pid in (site.program.process.pid, *site.workers())]
    return max(processes, key=lambda process: process.memory_info().rss)


async def cost(site: Site, streams: int) -> tuple[float, float]:
    """Returns the bytes of a stream and the seconds of CPU time of an event."""
    process, readers = serving(site), Readers(site.port)
    readers.start()
    await anyio.to_thread.run_sync(readers.open, FIRST_STREAMS)
    await anyio.sleep(2)
    before = process.memory_full_info().uss
    await anyio.to_thread.run_sync(readers.open, streams)
    await anyio.sleep(2)
    memory = (process.memory_full_info().uss - before) / streams
    used, events = sum(process.cpu_times()[:2]), readers.events
    await anyio.sleep(SECONDS)
    seconds = (sum(process.cpu_times()[:2]) - used) / max(1, readers.events - events)
    await anyio.to_thread.run_sync(readers.stop)
    return memory, seconds


async def measure(streams: int) -> list[tuple[str, str, str]]:
    """Returns a row for each server, with the ratios to our own."""
    rows: list[tuple[str, str, str]] = []
    ours = (0.0, 0.0)
    async with running_exchange(time_scale=3) as exchange:
        urls = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        for server in ("serve", *SERVERS):
            with tempfile.TemporaryDirectory() as folder:
                settings = {**urls, "max_streams_per_address": 2 * streams + FIRST_STREAMS}
                async with running_server(Path(folder), server, settings) as site:
                    await site.answers()
                    memory, seconds = await cost(site, streams)
            ours = ours if rows else (memory, seconds)
            ratios = f" ({memory / ours[0]:.1f} and {seconds / ours[1]:.1f} times serve)" if rows else ""
            reached = f"{memory / 1024:.1f} KB a stream, {seconds * 1e6:.1f} µs an event{ratios}"
            rows.append((f"{server}: {streams:,} streams, timer=0, 2 tickers", reached, ""))
    return rows


def other_servers() -> list[tuple[str, str, str]]:
    """The stage of `make bench`."""
    return anyio.run(measure, 1_000)


if __name__ == "__main__":
    for row in anyio.run(measure, int(sys.argv[1]) if len(sys.argv) > 1 else 1_000):
        print(*row)
