"""A TCP proxy for tests: what passes through it can be delayed, cut into pieces, changed, held back or broken off.

It leads to a local port or to the socket of a file (PostgreSQL's), and knows no protocol.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketAttribute, SocketStream

__all__ = ["TcpProxy", "listening", "pump", "slices", "tcp_proxy"]

#: Cuts and changes a chunk: each part is sent by itself, one without bytes not at all.
Spoil = Callable[[bytes], list[bytes]]
#: Connects with whoever stands behind the proxy.
Connect = Callable[[], Awaitable[SocketStream]]

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


def _whole(chunk: bytes) -> list[bytes]:
    return [chunk]


def slices(size: int) -> Spoil:
    """Cut what passes into pieces of so many bytes."""
    return lambda chunk: [chunk[index : index + size] for index in range(0, len(chunk), size)]


class TcpProxy:
    """The line between a client and a server; its faults can be changed at any time, for open connections too."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0  # that were ever led through
        self.delay_seconds = 0.0  # each chunk waits so long, in both directions
        self.spoil: Spoil = _whole  # what the server says
        self.clients: set[SocketStream] = set()
        self._is_cut = False
        self._flows = anyio.Event()
        self._flows.set()

    def __repr__(self) -> str:
        return f"<TcpProxy on {self.port}, {len(self.clients)} open>"

    def reset(self) -> None:
        """Break every connection at once, without a goodbye; new ones work."""
        for client in list(self.clients):
            client.extra(SocketAttribute.raw_socket)  # it exists
            client._transport.abort()  # type: ignore[attr-defined]

    def cut(self) -> None:
        """Break every connection, and each new one, until mended."""
        self._is_cut = True
        self.reset()

    def hold(self) -> None:
        """Half-open: connections stay and new ones are accepted, but no byte and no end passes until mended."""
        if self._flows.is_set():
            self._flows = anyio.Event()

    def mend(self) -> None:
        """All as it was; what was held back arrives now."""
        self.delay_seconds = 0.0
        self.spoil = _whole
        self._is_cut = False
        self._flows.set()

    async def _part(self) -> None:
        if self.delay_seconds:
            await anyio.sleep(self.delay_seconds)
        await self._flows.wait()

    async def _lead(self, client: SocketStream, connect: Connect) -> None:
        """Lead one client through, until both sides have ended."""
        if self._is_cut:
            client._transport.abort()  # type: ignore[attr-defined]
            return
        self.connections += 1
        self.clients.add(client)
        try:
            async with client, await connect() as server, anyio.create_task_group() as tasks:
                tasks.start_soon(pump, client, server, _whole, self._part)
                tasks.start_soon(pump, server, client, lambda chunk: self.spoil(chunk), self._part)
        except* _GONE:
            pass
        finally:
            self.clients.discard(client)


async def _at_once() -> None:
    pass


async def pump(
    source: SocketStream,
    sink: SocketStream,
    spoil: Spoil = _whole,
    ready: Callable[[], Awaitable[None]] = _at_once,
) -> None:
    """Pass bytes on until one side ends, then end the other; ``spoil`` says how they are cut and changed."""
    try:
        async for chunk in source:
            await ready()
            for part in spoil(chunk):
                await sink.send(part)
                if len(part) == 1:
                    await anyio.lowlevel.checkpoint()
        await ready()
        await sink.send_eof()
    except _GONE:
        await sink.aclose()


@asynccontextmanager
async def listening(handle: Callable[[SocketStream], object]) -> AsyncIterator[int]:
    """Listen on a free local port and handle each connection, until the block is left."""
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, handle)
        yield listener.extra(SocketAttribute.local_port)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def tcp_proxy(target: int | Path) -> AsyncIterator[TcpProxy]:
    """A proxy to the local port, or to the socket at the path."""
    found = TcpProxy()

    async def connect() -> SocketStream:
        if isinstance(target, Path):
            return await anyio.connect_unix(target)
        return await anyio.connect_tcp("127.0.0.1", target)

    async def handle(client: SocketStream) -> None:
        with contextlib.suppress(*_GONE):
            await found._lead(client, connect)

    async with listening(handle) as found.port:
        yield found
