"""A line between a browser and a server that a test can cut: real sockets, so that it breaks as in the world."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import anyio.abc

from tests.eventsource import EventSourceParser

__all__ = ["Line"]


class Line:
    """Carries connections to a port, remembers what was asked for, and can be cut and led elsewhere."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        #: The request heads, as they came.
        self.asked: list[str] = []
        self.retries: list[int] = []
        self._scopes: set[anyio.CancelScope] = set()
        self._hushed: set[anyio.CancelScope] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Listen; gives the address for the browser."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._carry)
            yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
            tasks.cancel_scope.cancel()

    def cut(self) -> None:
        """Break every connection."""
        for scope in self._scopes:
            scope.cancel()

    def hush(self) -> None:
        """Lose what the server still says on these connections, and tell nobody, as when a router forgets them."""
        self._hushed |= self._scopes

    async def _carry(self, browser: anyio.abc.SocketStream) -> None:
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            async with browser:
                with contextlib.suppress(OSError, anyio.BrokenResourceError):
                    server = await anyio.connect_tcp(self.host, self.port)
                    async with server, anyio.create_task_group() as tasks:
                        tasks.start_soon(self._up, browser, server)
                        await self._down(server, browser, scope)
                        tasks.cancel_scope.cancel()
        self._scopes.discard(scope)

    async def _up(self, browser: anyio.abc.SocketStream, server: anyio.abc.SocketStream) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):
            async for data in browser:
                self.asked.append(data.decode("latin-1"))
                await server.send(data)

    async def _down(
        self, server: anyio.abc.SocketStream, browser: anyio.abc.SocketStream, scope: anyio.CancelScope
    ) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):
            async for data in server:
                if scope in self._hushed:
                    continue
                for line in data.split(b"\n"):
                    if line.startswith(b"retry:"):
                        parser = EventSourceParser()
                        parser.feed(line + b"\n\n")
                        self.retries += parser.retries
                await browser.send(data)
