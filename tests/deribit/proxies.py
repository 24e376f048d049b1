"""Proxies of the tests: HTTP CONNECT and SOCKS5 that count, and a relay that swallows what is not a ping."""

import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import anyio
from anyio.abc import SocketStream
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.tcp_proxy import listening, pump

__all__ = ["Proxy", "SwallowingRelay", "authority", "http_proxy", "socks_proxy", "swallowing_relay"]

USER, PASSWORD = "traveller", "proxy-canary"


class Proxy:
    """What passed through: every requested target by name, and the number of refused requests."""

    def __init__(self) -> None:
        self.targets: list[tuple[str, int]] = []
        self.refused = 0
        self.port = 0


async def _join(client: SocketStream, port: int) -> None:
    """Connect the client with the local port, until both are done."""
    async with await anyio.connect_tcp("127.0.0.1", port) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(pump, client, server)
        tasks.start_soon(pump, server, client)


@asynccontextmanager
async def http_proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy that leads every CONNECT with the right Basic credentials to the local port."""
    proxy, expected = Proxy(), base64.b64encode(f"{USER}:{PASSWORD}".encode())

    async def handle(client: SocketStream) -> None:
        async with client:
            head = b""
            while b"\r\n\r\n" not in head:
                head += await client.receive()
            if b"basic " + expected.lower() not in head.lower() or expected not in head:
                proxy.refused += 1
                await client.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            target = urlsplit(head.split(b" ")[1].decode())
            if head.startswith(b"CONNECT"):
                target = urlsplit(f"//{head.split(b' ')[1].decode()}")
            proxy.targets.append((target.hostname or "", target.port or 80))
            if head.startswith(b"CONNECT"):
                await client.send(b"HTTP/1.1 200 OK\r\n\r\n")
                await _join(client, port)
            else:
                await _forward(client, head, port)

    async with listening(handle) as proxy.port:
        yield proxy


async def _forward(client: SocketStream, head: bytes, port: int) -> None:
    """An ordinary request with an absolute target, as clients send for http addresses."""
    verb, target, rest = head.split(b" ", 2)
    path = b"/" + target.split(b"/", 3)[3]
    async with await anyio.connect_tcp("127.0.0.1", port) as server:
        await server.send(b" ".join((verb, path, rest)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump, client, server)
            tasks.start_soon(pump, server, client)


@asynccontextmanager
async def socks_proxy(port: int) -> AsyncIterator[Proxy]:
    """A SOCKS5 proxy with a user and a password that leads every name to the local port; addresses are refused."""
    proxy = Proxy()

    async def handle(client: SocketStream) -> None:
        async with client:
            _, methods = await client.receive(2)
            assert 2 in await client.receive(methods)
            await client.send(b"\x05\x02")
            user = await client.receive((await client.receive(2))[1])
            password = await client.receive((await client.receive(1))[0])
            if (user.decode(), password.decode()) != (USER, PASSWORD):
                proxy.refused += 1
                await client.send(b"\x01\x01")
                return
            await client.send(b"\x01\x00")
            kind = (await client.receive(4))[3]
            if kind != 3:  # a name: whoever looks it up himself has already talked to somebody else
                proxy.refused += 1
                return
            name = await client.receive((await client.receive(1))[0])
            target = int.from_bytes(await client.receive(2), "big")
            proxy.targets.append((name.decode(), target))
            await client.send(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            await _join(client, port)

    async with listening(handle) as proxy.port:
        yield proxy


class SwallowingRelay:
    """A WebSocket relay that goes on answering pings while it passes nothing on, in either direction."""

    def __init__(self) -> None:
        self.swallows = False
        self.connections = 0
        self.url = ""


@asynccontextmanager
async def swallowing_relay(url: str) -> AsyncIterator[SwallowingRelay]:
    """A relay to the WebSocket at the address; each new connection works until it swallows again."""
    found = SwallowingRelay()

    async def handle(client: ServerConnection) -> None:
        found.connections += 1
        found.swallows = False

        async def copy(source: object, sink: object) -> None:
            try:
                async for message in source:  # type: ignore[attr-defined]
                    if not found.swallows:
                        await sink.send(message)  # type: ignore[attr-defined]
            except ConnectionClosed:
                pass
            tasks.cancel_scope.cancel()

        async with connect(url, proxy=None) as server, anyio.create_task_group() as tasks:
            tasks.start_soon(copy, client, server)
            tasks.start_soon(copy, server, client)

    async with serve(handle, "127.0.0.1", 0) as server:
        found.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws/api/v2"
        yield found


def authority(folder: Path, name: str = "exchange.invalid") -> tuple[ssl.SSLContext, str]:
    """A TLS context for a server of that name and of 127.0.0.1, and the file of the certificate that vouches for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "ca.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, str(public)
