"""A TCP proxy between a browser and a server: it records requests and `retry` fields, and can break connections."""

import contextlib
from collections.abc import AsyncIterator

import anyio
import anyio.abc

from cryptomarket.conformance.eventsource import EventSourceParser

__all__ = ["RecordingProxy"]


class RecordingProxy:
    """Forwards connections to a port, which may change; its own address stays the same."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        #: The bytes of the requests, as they came.
        self.requests: list[str] = []
        #: The `retry` fields of all responses, in milliseconds.
        self.retries: list[int] = []
        self._connections: set[anyio.CancelScope] = set()
        self._silent: set[anyio.CancelScope] = set()

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[str]:
        """Listen until the block ends; yields the URL for the browser."""
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, self._forward)
            yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
            tasks.cancel_scope.cancel()

    def disconnect(self) -> None:
        """Close every connection."""
        for scope in self._connections:
            scope.cancel()

    def silence(self) -> None:
        """Drop all further responses on the present connections without closing them, as a failed router does."""
        self._silent |= self._connections

    async def _forward(self, browser: anyio.abc.SocketStream) -> None:
        with anyio.CancelScope() as scope:
            self._connections.add(scope)
            async with browser:
                with contextlib.suppress(OSError, anyio.BrokenResourceError):
                    server = await anyio.connect_tcp(self.host, self.port)
                    async with server, anyio.create_task_group() as tasks:
                        tasks.start_soon(self._forward_requests, browser, server)
                        await self._forward_responses(server, browser, scope)
                        tasks.cancel_scope.cancel()
        self._connections.discard(scope)

    async def _forward_requests(self, browser: anyio.abc.SocketStream, server: anyio.abc.SocketStream) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):
            async for data in browser:
                self.requests.append(data.decode("latin-1"))
                await server.send(data)

    async def _forward_responses(
        self, server: anyio.abc.SocketStream, browser: anyio.abc.SocketStream, scope: anyio.CancelScope
    ) -> None:
        with contextlib.suppress(anyio.BrokenResourceError):
            async for data in server:
                if scope in self._silent:
                    continue
                for line in data.split(b"\n"):
                    if line.startswith(b"retry:"):
                        parser = EventSourceParser()
                        parser.receive(line + b"\n\n")
                        self.retries += parser.retries
                await browser.send(data)
