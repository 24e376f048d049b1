"""A small application on our HTTP protocol in this process, and raw connections to it."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from cryptomarket.app.connection_limits import ConnectionLimits
from cryptomarket.app.uvicorn_protocol import HandoverProtocol
from tests.web.site import running_server

__all__ = ["Raw", "RawServer", "echo_application", "raw_server", "serving_raw"]


async def echo(request: Request) -> Response:
    """What arrived of a request; below /slow after a moment."""
    if request.url.path.startswith("/slow"):
        await asyncio.sleep(0.002)
    try:
        body = await request.body()
    except ClientDisconnect:
        return Response()
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers.raw]
    return JSONResponse([request.method, request.url.path, headers, body.decode("latin-1")])


async def endless(_: Request) -> Response:
    """An answer that ends when its client hangs up."""

    async def parts() -> AsyncIterator[str]:
        while True:
            yield "x" * 20_000
            await asyncio.sleep(0)

    return StreamingResponse(parts())


async def large(_: Request) -> Response:
    """An answer that is made at once and takes long to send."""
    return Response(b"x" * 8_000_000)


def echo_application(*more: Route) -> Starlette:
    """An application that echoes requests."""
    methods = ["GET", "POST", "PUT", "OPTIONS"]
    return Starlette(
        routes=[*more, Route("/endless", endless), Route("/large", large), Route("/{path:path}", echo, methods=methods)]
    )


@dataclass
class Raw:
    """A raw connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: str | bytes) -> None:
        """Send the data unchanged; a connection that was closed meanwhile is not an error."""
        if not self.writer.transport.is_closing():
            self.writer.write(data.encode("latin-1") if isinstance(data, str) else data)
            with contextlib.suppress(ConnectionError):
                await self.writer.drain()

    async def status(self) -> int:
        """The status of the next response, whose head is read."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])

    async def rest(self) -> bytes:
        """Everything until the end of the connection."""
        received = b""
        with anyio.fail_after(60), contextlib.suppress(ConnectionError):
            while data := await self.reader.read(1 << 20):
                received += data
        return received

    def abort(self) -> None:
        """Hang up."""
        self.writer.transport.abort()


@dataclass
class RawServer:
    """A server, its limits, and what it refused."""

    limits: "ConnectionLimits[Any]"
    refusals: list[tuple[str, dict[str, Any]]]
    port: int = 0
    _open: list[Raw] = field(default_factory=list)

    @property
    def reasons(self) -> list[str]:
        """The reasons of what was refused."""
        return [reason for reason, _ in self.refusals]

    async def connect(self, sent: str | bytes = b"", source: str = "127.0.0.1") -> Raw:
        """A connection from a loopback address that has sent something."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        raw = Raw(reader, writer)
        self._open.append(raw)
        if sent:
            await raw.send(sent)
        return raw

    async def answered(self, sent: str | bytes, source: str = "127.0.0.1") -> bytes:
        """Everything that a new connection receives until it is closed."""
        raw = await self.connect(sent, source)
        return await raw.rest()

    def hang_up(self) -> None:
        """Abort all connections."""
        for raw in self._open:
            raw.abort()
        self._open.clear()


@contextlib.asynccontextmanager
async def serving_raw(
    site: Callable[[Any], AbstractAsyncContextManager[Any]],
    address: Callable[[Any], str],
    protocol: type[HandoverProtocol] = HandoverProtocol,
    **limits: Any,
) -> AsyncIterator[RawServer]:
    """Run ``site``, called with uvicorn's ``http``; ``address`` returns the address of what it yields."""
    connection_limits: ConnectionLimits[Any] = ConnectionLimits(**limits)
    refusals: list[tuple[str, dict[str, Any]]] = []

    def refused(reason: str, **details: Any) -> None:
        refusals.append((reason, details))

    async with site(functools.partial(protocol, limits=connection_limits, refused=refused)) as found:
        server = RawServer(connection_limits, refusals, int(address(found).rpartition(":")[2]))
        try:
            yield server
        finally:
            server.hang_up()


def raw_server(app: Any = None, **options: Any) -> AbstractAsyncContextManager[RawServer]:
    """Run the application on our protocol; ``options`` are its limits, and ``protocol`` a class of its own."""
    return serving_raw(
        lambda http: running_server(app or echo_application(), http=http), lambda url: str(url), **options
    )
