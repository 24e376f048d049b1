"""Opens the WebSocket, through a proxy if one was given, trusting an extra authority if one was given.

No environment variable counts but ours: a proxy for something else must not see prices or logins. Redirects are
refused, and no error tells the proxy's address, which may hold a password.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

from ..errors import StartError

__all__ = ["Opener", "Socket", "checked_proxy", "opener", "trust"]

#: The largest messages seen are full order books of some 20 kB; a megabyte is an attack or a mistake.
MAX_BYTES = 4 * 2**20


class Socket(Protocol):
    """What a connection needs of a WebSocket."""

    async def recv(self) -> str | bytes: ...

    async def send(self, message: str, /) -> None: ...


Opener = Callable[[], AbstractAsyncContextManager[Socket]]


class _Connect(connect):
    """The library's connect, which follows no redirect."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def checked_proxy(proxy: str | None) -> str | None:
    """The proxy if it can be used; raises StartError without repeating it."""
    if not proxy:
        return None
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and parts.port is not None
        usable = usable and (parts.username is None) == (parts.password is None)
    except ValueError:
        usable = False
    if not usable:
        raise StartError("the proxy to the exchange must be http://, https://, socks5:// or socks5h:// host:port")
    # The proxy resolves names as well: a look-up of ours would be a direct connection by another door.
    return proxy.replace("socks5://", "socks5h://", 1)


def trust(ca_file: str | None) -> ssl.SSLContext:
    """What certificates we believe: the system's authorities, and one more if a file names it."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise StartError(f"cannot read certificates from {ca_file}") from exc
    return context


def opener(url: str, *, proxy: str | None = None, ca_file: str | None = None, connect_seconds: float = 10.0) -> Opener:
    """How to open the WebSocket at the address; raises StartError for an address or proxy that cannot be used."""
    proxy = checked_proxy(proxy)
    if urlsplit(url).scheme not in ("ws", "wss"):
        raise StartError(f"the exchange's address must start with ws:// or wss://, not {url[:60]!r}")
    context = trust(ca_file) if url.startswith("wss:") else None

    @asynccontextmanager
    async def opened() -> AsyncIterator[Socket]:
        socket = await _Connect(
            url,
            proxy=proxy,
            open_timeout=connect_seconds,
            close_timeout=1,
            ping_interval=20,
            ping_timeout=20,
            max_size=MAX_BYTES,
            compression=None,  # the messages are small, and an inflater is one more thing to bomb
            ssl=context,
        )
        try:
            yield socket
        finally:
            # A half-open connection would let a polite close wait; the exchange ends the session either way.
            socket.transport.abort()
            await socket.wait_closed()

    return opened
