"""TLS in front of a simulated exchange, for clients that accept only addresses of `wss` and `https`."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import ByteStream, SocketStream
from anyio.streams.tls import TLSStream

from ..certificates import Authority
from ..tcp_proxy import listening

__all__ = ["TlsFront", "tls_front"]

GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ssl.SSLError)


@dataclass(frozen=True)
class TlsFront:
    """Where it listens (host:port), and the environment in which a program trusts its certificate."""

    place: str
    trust: dict[str, str]


@asynccontextmanager
async def tls_front(port: int, folder: Path) -> AsyncIterator[TlsFront]:
    """Listen with TLS on a free port of this machine, and pass what arrives on to the port."""
    authority = Authority(folder)
    found = authority.sign("exchange", "127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(found.certificate, found.key)

    async def handle(socket: SocketStream) -> None:
        with contextlib.suppress(*GONE):
            client = await TLSStream.wrap(socket, server_side=True, ssl_context=context, standard_compatible=False)
            async with client, await anyio.connect_tcp("127.0.0.1", port) as server, anyio.create_task_group() as tasks:
                tasks.start_soon(_forward, client, server, tasks.cancel_scope)
                tasks.start_soon(_forward, server, client, tasks.cancel_scope)

    async with listening(handle) as own_port:
        trusted = str(authority.certificate)
        trust = {"SSL_CERT_FILE": trusted, "REQUESTS_CA_BUNDLE": trusted, "NODE_EXTRA_CA_CERTS": trusted}
        yield TlsFront(f"127.0.0.1:{own_port}", trust)


async def _forward(source: ByteStream, sink: ByteStream, both: anyio.CancelScope) -> None:
    """Forward bytes until one side ends, which ends both directions."""
    with contextlib.suppress(*GONE):
        async for chunk in source:
            await sink.send(chunk)
    both.cancel()
