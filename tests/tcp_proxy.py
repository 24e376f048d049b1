"""A TCP proxy for tests, which can delay, split, change, hold back or break what passes through it.

Its target is a local port or a UNIX socket such as PostgreSQL's. It must not know any protocol.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketStream

__all__ = ["TcpProxy", "listening", "pump", "slices", "tcp_proxy"]

#: Splits or changes a chunk; each returned part is sent separately, and an empty one is not sent.
Transform = Callable[[bytes], list[bytes]]
#: Connects to the target.
Connect = Callable[[], Awaitable[SocketStream]]

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


def _whole(chunk: bytes) -> list[bytes]:
    return [chunk]


def slices(size: int) -> Transform:
    """Return a function that splits chunks into pieces of ``size`` bytes."""
    return lambda chunk: [chunk[index : index + size] for index in range(0, len(chunk), size)]


class TcpProxy:
    """A proxy between clients and a server; its faults can be changed at any time, also for open connections."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0  # ever forwarded
        self.delay_seconds = 0.0  # of each chunk, in both directions
        self.transform: Transform = _whole  # changes what the server sends
        self.clients: set[SocketStream] = set()
        self._is_cut = False
        self._flows = anyio.Event()
        self._flows.set()

    def __repr__(self) -> str:
        return f"<TcpProxy on {self.port}, {len(self.clients)} open>"

    def reset(self) -> None:
        """Reset every connection; new ones work."""
        for client in list(self.clients):
            client.extra(SocketAttribute.raw_socket)  # it exists
            client._transport.abort()  # type: ignore[attr-defined]

    def cut(self) -> None:
        """Reset every connection, and each new one, until `mend`."""
        self._is_cut = True
        self.reset()

    def hold(self) -> None:
        """Keep connections open and accept new ones, but pass no byte and no end until `mend`."""
        if self._flows.is_set():
            self._flows = anyio.Event()

    def mend(self) -> None:
        """End all faults; held bytes are sent now."""
        self.delay_seconds = 0.0
        self.transform = _whole
        self._is_cut = False
        self._flows.set()

    async def _wait(self) -> None:
        if self.delay_seconds:
            await anyio.sleep(self.delay_seconds)
        await self._flows.wait()

    async def _forward(self, client: SocketStream, connect: Connect) -> None:
        """Forward one client until both sides have ended."""
        if self._is_cut:
            client._transport.abort()  # type: ignore[attr-defined]
            return
        self.connections += 1
        self.clients.add(client)
        try:
            async with client, await connect() as server, anyio.create_task_group() as tasks:
                tasks.start_soon(pump, client, server, _whole, self._wait)
                tasks.start_soon(pump, server, client, lambda chunk: self.transform(chunk), self._wait)
        except* _GONE:
            pass
        finally:
            self.clients.discard(client)


async def _at_once() -> None:
    pass


async def pump(
    source: SocketStream,
    sink: SocketStream,
    transform: Transform = _whole,
    ready: Callable[[], Awaitable[None]] = _at_once,
) -> None:
    """Forward bytes until one side ends, then end the other; ``transform`` splits and changes them."""
    try:
        async for chunk in source:
            await ready()
            for part in transform(chunk):
                await sink.send(part)
                if len(part) == 1:
                    await anyio.lowlevel.checkpoint()
        await ready()
        await sink.send_eof()
    except _GONE:
        await sink.aclose()


@asynccontextmanager
async def listening(handle: Callable[[SocketStream], object]) -> AsyncIterator[int]:
    """Listen on a free local port, and handle each connection; yield the port."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def tcp_proxy(target: int | Path) -> AsyncIterator[TcpProxy]:
    """Run a proxy to a local port, or to the UNIX socket at a path."""
    found = TcpProxy()

    async def connect() -> SocketStream:
        if isinstance(target, Path):
            return await anyio.connect_unix(target)
        return await anyio.connect_tcp("127.0.0.1", target)

    async def handle(client: SocketStream) -> None:
        with contextlib.suppress(*_GONE):
            await found._forward(client, connect)

    async with listening(handle) as found.port:
        yield found
