"""Opens the WebSocket, through a proxy if one was given, trusting an extra authority if one was given.

The usual proxy variables of the environment are ignored: a proxy for something else must not see prices or logins.
Redirects are refused. No error contains the address of the proxy, which can contain a password.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

from ..errors import StartError

__all__ = ["Opener", "Socket", "checked_proxy", "opener", "trust"]

#: The largest messages seen are order books of 20 kB; a larger one than this would only fill the memory.
MAX_BYTES = 4 * 2**20


class Socket(Protocol):
    """The part of a WebSocket that a connection uses."""

    async def recv(self) -> str | bytes: ...

    async def send(self, message: str, /) -> None: ...


Opener = Callable[[], AbstractAsyncContextManager[Socket]]


class _Connect(connect):
    """The library's connect, without following redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def checked_proxy(proxy: str | None) -> str | None:
    """The address of the proxy, or None for an empty one; raises StartError for one that cannot be used."""
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
    # The proxy resolves names as well: a local look-up would reveal the destination outside the proxy.
    return proxy.replace("socks5://", "socks5h://", 1)


def trust(ca_file: str | None) -> ssl.SSLContext:
    """A TLS context that trusts the system's authorities and those in the file; raises StartError for a bad file."""
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as exc:
            raise StartError(f"cannot read certificates from {ca_file}") from exc
    return context


def opener(url: str, *, proxy: str | None = None, ca_file: str | None = None, connect_seconds: float = 10.0) -> Opener:
    """A function that opens the WebSocket; raises StartError for an address or proxy that cannot be used."""
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
            compression=None,  # the messages are small, and a decompressor can be attacked with a bomb
            ssl=context,
        )
        try:
            yield socket
        finally:
            # A polite close of a half-open connection would wait; the exchange ends its session either way.
            socket.transport.abort()
            await socket.wait_closed()

    return opened
