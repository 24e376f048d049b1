"""The endpoint on a real server, and raw connections to it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import anyio
import anyio.abc
import anyio.lowlevel
import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from cryptomarket.cluster.single import SingleNode
from cryptomarket.conformance.eventsource import EventSourceParser, MessageEvent
from cryptomarket.errors import InvalidParameter, RequestError
from cryptomarket.stream.endpoint import StreamEndpoint
from cryptomarket.stream.manager import ServerSSEManager

from .reader import tick

__all__ = ["PATHS", "Connection", "Served", "Serving", "eventually", "served"]

#: What to give uvicorn as `http` for each path: its own protocol, or ours that hands streams their connection.
PATHS: dict[str, Any] = {"asgi": "httptools", "socket": HandoverProtocol}


class QuietServer(uvicorn.Server):
    """uvicorn without signal handlers, which are the test runner's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no handler."""
        yield


async def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition holds."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.sleep(0.002)


def problem(_: Request, error: RequestError) -> Response:
    """A problem document like those of `web`."""
    assert isinstance(error, InvalidParameter)
    body = {"status": 422, "parameter": error.parameter, "detail": str(error)}
    return JSONResponse(body, 422, media_type="application/problem+json")


@dataclass
class Connection:
    """One raw connection: sends text, reads a response head, then events out of its chunks."""

    socket: anyio.abc.SocketStream
    parser: EventSourceParser = field(default_factory=EventSourceParser)
    events: list[MessageEvent] = field(default_factory=list)
    body: bytes = b""
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    head: bytes = b""
    chunks: list[bytes] = field(default_factory=list)
    ended: bool = False
    _buffer: bytes = b""

    async def send(self, text: str) -> None:
        """Send text unchanged."""
        await self.socket.send(text.encode("latin-1"))

    async def get(self, target: str = "/sse/", method: str = "GET", **headers: str) -> "Connection":
        """Request the target and read the head of the response."""
        lines = [f"{method} {target} HTTP/1.1", "Host: test"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines) + "\r\n\r\n")
        await self.read_head()
        return self

    async def read_head(self) -> None:
        """Read status and headers."""
        with anyio.fail_after(60):
            while b"\r\n\r\n" not in self._buffer:
                self._buffer += await self.socket.receive()
        self.head, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = self.head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def read(self) -> bool:
        """Read more of the body; False at the end of it or of the connection."""
        if self._take():
            return True
        if self.ended:
            return False
        try:
            self._buffer += await self.socket.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        return self._take() or not self.ended

    def _take(self) -> bool:
        """Parse the complete chunks of the buffer."""
        found = False
        while not self.ended:
            if self.headers.get("transfer-encoding") == "chunked":
                size, separator, rest = self._buffer.partition(b"\r\n")
                if not separator or len(rest) < int(size, 16) + 2:
                    break
                data, end = rest[: int(size, 16)], rest[int(size, 16) : int(size, 16) + 2]
                assert end == b"\r\n"
                self._buffer = rest[int(size, 16) + 2 :]
                self.chunks.append(size + separator + data + end)
                self.ended = not data
            else:
                data, self._buffer = self._buffer, b""
                if not data:
                    break
                self.ended = len(self.body) + len(data) >= int(self.headers.get("content-length", 1 << 60))
            self.body += data
            self.events += self.parser.receive(data)
            found = True
        return found

    async def until(self, count: int) -> list[MessageEvent]:
        """Read until this many events arrived."""
        with anyio.fail_after(60):
            while len(self.events) < count:
                assert await self.read(), f"the stream ended after {self.events}"
        return self.events

    async def to_end(self) -> bytes:
        """Read until the body or the connection ends."""
        with anyio.fail_after(60):
            while await self.read():
                pass
        return self.body

    def prices(self) -> list[int]:
        """The prices seen."""
        return [int(event.json["price"]) for event in self.events if event.event != "connection"]


@dataclass
class Served:
    """A manager behind a server."""

    manager: ServerSSEManager
    server: uvicorn.Server
    port: int
    bus: SingleNode
    _open: contextlib.AsyncExitStack

    async def connect(self, receive_buffer: int | None = None) -> Connection:
        """Open a raw connection, which is closed at the end of the test."""
        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", self.port))
        return Connection(await self._open.enter_async_context(await anyio.abc.SocketStream.from_socket(raw)))

    async def get(self, target: str = "/sse/", method: str = "GET", **headers: str) -> Connection:
        """Open a connection and request the target."""
        return await (await self.connect()).get(target, method, **headers)

    def publish(self, *prices: int, ticker: str = "btc_usd") -> None:
        """Publish ticks of these prices."""
        for price in prices:
            self.bus.publish(tick(ticker, price))

    async def streams(self, count: int) -> None:
        """Wait until this many streams are open."""
        await eventually(lambda: len(self.manager) == count)


class Serving(Protocol):
    """`served` with one of the two kinds of sink."""

    def __call__(self, **options: Any) -> contextlib.AbstractAsyncContextManager[Served]: ...


@contextlib.asynccontextmanager
async def served(
    http: Any, *, manager: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Served]:
    """The endpoint under uvicorn on a free port, with its manager running; ``http`` is uvicorn's protocol."""
    stream_manager = ServerSSEManager("btc_usd", "eth_usd", "connection", **(manager or {}))
    options = {"known": {"BTC-PERPETUAL"}.__contains__, "nearest": lambda _: ["BTC-PERPETUAL"], **options}
    endpoint = StreamEndpoint(stream_manager, problem=problem, **options)
    settings = {
        "http": http,
        "ws": "none",
        "log_config": None,
        "lifespan": "off",
        "timeout_graceful_shutdown": 1,
        **(config or {}),
    }
    server = QuietServer(uvicorn.Config(endpoint, port=0, **settings))
    bus = SingleNode(epoch=7)
    bus.subscribe(stream_manager.on_message)
    async with anyio.create_task_group() as tasks:
        await tasks.start(stream_manager.run)
        tasks.start_soon(server.serve)
        with anyio.fail_after(60):
            while not server.started:
                await anyio.lowlevel.checkpoint()
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            async with contextlib.AsyncExitStack() as opened:
                yield Served(stream_manager, server, port, bus, opened)
        finally:
            for listener in server.servers:
                listener.close()
        await stream_manager.drain(0)
        for connection in list(server.server_state.connections):
            connection.shutdown()
        await eventually(lambda: not server.server_state.connections and not server.server_state.tasks)
        tasks.cancel_scope.cancel()
