"""The limits of the shipped nginx: real nginx before a server that counts what arrives and never ends a stream."""

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .processes import eventually
from .reverse_proxy import running_nginx

pytestmark = pytest.mark.system

#: The client names its address, so that one machine is many.
ADDRESSES = "set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address;"


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection at once; a TLS connection would wait for the other side to agree."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@dataclass
class Upstream:
    """A server of HTTP/1.1 that holds streams open and answers everything else at once."""

    paths: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.open += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                self.paths.append(path := head.split()[1])
                found = re.search(r"(?i)x-forwarded-for: (\S+)", head)
                self.addresses.append(found[1] if found else "")
                if path == "/sse/":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: open\n\n")
                    await writer.drain()
                    await reader.read()
                    break
                status = "429 Too Many Requests" if path == "/own" else "200 OK"
                hsts = "Strict-Transport-Security: max-age=1"
                writer.write(f"HTTP/1.1 {status}\r\n{hsts}\r\nContent-Length: 2\r\n\r\nok".encode())
                await writer.drain()
        await closed(writer)
        self.open -= 1


@dataclass
class Front:
    """nginx on a port, and the server behind it."""

    upstream: Upstream
    port: int
    trust: ssl.SSLContext

    async def send(self, path: str, *addresses: str) -> str:
        """Request a path once for each client address, all in one write on one connection; return the answers."""
        heads = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Test-Address: {address}\r\n" for address in addresses]
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
        async with asyncio.timeout(60):
            writer.write(("\r\n".join(heads) + "Connection: close\r\n\r\n").encode())
            answers = await reader.read(-1)
        await closed(writer)
        return answers.decode()

    async def open_stream(self, address: str) -> asyncio.StreamWriter:
        """Open a stream that the server behind has answered."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
        writer.write(f"GET /sse/ HTTP/1.1\r\nHost: localhost\r\nX-Test-Address: {address}\r\n\r\n".encode())
        async with asyncio.timeout(60):
            await reader.readuntil(b": open\n\n")
        return writer


@contextlib.asynccontextmanager
async def front(folder: Path) -> AsyncIterator[Front]:
    """Run both servers."""
    upstream = Upstream()
    async with contextlib.AsyncExitStack() as stack:
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        stack.callback(server.close)
        stack.push_async_callback(eventually, lambda: not upstream.open, "nginx has closed its connections")
        gateway = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        url, _ = await stack.enter_async_context(running_nginx(folder, [gateway, gateway], also=ADDRESSES))
        trust = ssl.create_default_context(cafile=str(folder / "certificates" / "tls.crt"))
        yield Front(upstream, int(url.rpartition(":")[2]), trust)


def statuses(answers: str) -> list[str]:
    return re.findall(r"HTTP/1\.1 (\d{3}) ", answers)


async def test_requests_are_limited_by_address(tmp_path: Path) -> None:
    """Beyond the burst each is answered 429 as a problem with `Retry-After`; another address is not affected."""
    async with front(tmp_path) as site:
        answers = await site.send("/api/v1/tickers", *["192.0.2.1"] * 1_000)
        found = statuses(answers)
        assert (len(found), set(found)) == (1_000, {"200", "429"})
        assert found.count("200") > 300
        refused = answers[answers.index("HTTP/1.1 429") :]
        assert "content-type: application/problem+json" in refused.lower()
        assert re.search(r"(?i)retry-after: [1-9]", refused)
        assert json.loads(refused.partition("\r\n\r\n")[2].partition("}")[0] + "}")["status"] == 429
        assert statuses(await site.send("/api/v1/tickers", *["192.0.2.2"] * 50)) == ["200"] * 50
        assert set(site.upstream.addresses) == {"192.0.2.1", "192.0.2.2"}


async def test_the_files_of_many_pages_pass(tmp_path: Path) -> None:
    """Those of forty pages at once reach an office behind one address, also when its requests are used up."""
    async with front(tmp_path) as site:
        await site.send("/api/v1/tickers", *["192.0.2.1"] * 1_000)
        assert set(statuses(await site.send("/static/board.js", *["192.0.2.1"] * 1_000))) == {"200"}
        assert "429" in statuses(await site.send("/static/board.js", *["192.0.2.1"] * 1_000))


async def test_logins_are_limited_by_address(tmp_path: Path) -> None:
    """Twenty and one at once reach the gateway; other requests of the address still do."""
    async with front(tmp_path) as site:
        found = statuses(await site.send("/api/v1/persons/login", *["192.0.2.1"] * 40))
        assert 21 <= found.count("200") <= 26  # one more every three seconds
        assert found.count("429") == 40 - found.count("200")
        assert statuses(await site.send("/api/v1/tickers", *["192.0.2.1"] * 5)) == ["200"] * 5


async def test_a_stream_beyond_the_limit_is_told_to_return(tmp_path: Path) -> None:
    """It is answered 200 with a `retry`, since an EventSource gives up on any other status."""
    async with front(tmp_path) as site, contextlib.AsyncExitStack() as streams:
        for _ in range(100):
            streams.push_async_callback(closed, await site.open_stream("192.0.2.1"))
        answer = await site.send("/sse/", "192.0.2.1")
        assert statuses(answer) == ["200"]
        assert re.search(r"\r\n\r\nretry: (10|15|20|25)000\n\n\Z", answer)
        assert "content-type: text/event-stream" in answer.lower()
        assert "cache-control: no-store" in answer.lower()
        assert len(site.upstream.paths) == 100
        # Neither another address nor the requests of this one wait for its streams.
        streams.push_async_callback(closed, await site.open_stream("192.0.2.2"))
        assert statuses(await site.send("/api/v1/tickers", "192.0.2.1")) == ["200"]


async def test_new_streams_are_limited_by_address(tmp_path: Path) -> None:
    """A storm of them is answered 200 with a `retry` too, by nginx itself."""
    async with front(tmp_path) as site:
        answers = await site.send("/sse/short", *["192.0.2.1"] * 300)
        assert statuses(answers) == ["200"] * 300
        assert 100 < len(site.upstream.paths) < 300
        assert len(re.findall(r"retry: \d+000\n\n", answers)) == 300 - len(site.upstream.paths)


async def test_ipv6_is_counted_by_network(tmp_path: Path) -> None:
    """All addresses of a /64 are one client, also where bytes of the address are line feeds; other networks are not."""
    async with front(tmp_path) as site:
        one = [f"2001:db8:a0a:a0a::{number:x}" for number in range(1, 41)]
        assert statuses(await site.send("/api/v1/persons/login", *one)).count("429") >= 14
        many = [f"2001:db8:a0a:{number:x}::1" for number in range(1, 41)]
        assert statuses(await site.send("/api/v1/persons/login", *many)) == ["200"] * 40


async def test_headers_of_the_front(tmp_path: Path) -> None:
    """HSTS is on every answer, once; a 429 of the gateway itself is passed on as it is."""
    async with front(tmp_path) as site:
        for path, status in (("/", "200"), ("/own", "429"), ("/metrics", "404")):
            answer = await site.send(path, "192.0.2.1")
            assert statuses(answer) == [status]
            assert re.findall(r"(?i)strict-transport-security: (.*)\r", answer) == ["max-age=31536000"]
            assert answer.endswith("ok") is (path != "/metrics")


@pytest.mark.parametrize(
    ("version", "ciphers", "accepted"),
    [
        (ssl.TLSVersion.TLSv1_1, "DEFAULT:@SECLEVEL=0", False),
        (ssl.TLSVersion.TLSv1_2, "AES128-SHA", False),
        (ssl.TLSVersion.TLSv1_2, "ECDHE+AESGCM", True),
        (ssl.TLSVersion.TLSv1_3, "DEFAULT", True),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_tls_is_refused(tmp_path: Path, version: ssl.TLSVersion, ciphers: str, accepted: bool) -> None:
    """TLS 1.2 with forward secrecy and authenticated encryption, or 1.3."""
    async with front(tmp_path) as site:
        context = ssl.create_default_context(cafile=str(tmp_path / "certificates" / "tls.crt"))
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = version
        context.set_ciphers(ciphers)
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", site.port, ssl=context)
        except (ssl.SSLError, ConnectionError):
            assert not accepted
        else:
            assert accepted
            await closed(writer)
