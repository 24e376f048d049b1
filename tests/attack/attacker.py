"""One attacking address: raw connections from it, and what an attack is."""

import asyncio
import contextlib
import random
import re
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import quote

__all__ = ["Attack", "Attacker", "Connection", "request"]

#: An answer is read up to this size; what is larger counts by its status.
MOST_READ = 1_000_000
SEGMENT_BYTES = 1_400
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


def request(path: str, *headers: str, method: str = "GET", host: str = "gateway", body: bytes = b"") -> bytes:
    """Return a request; spaces and control characters of the path are quoted, everything else is sent as it is."""
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{method} {quote(path, safe='/?&=%,:;+*!@$()[]{}|^~.-_')} HTTP/1.1", f"Host: {host}", *length, *headers]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "replace") + body


@dataclass
class Connection:
    """An open connection of an attacker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        """Write without waiting; the gateway may not read it."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)

    async def status(self, seconds: float = 20.0) -> str:
        """Return the status of the next answer, or what came instead of one."""
        try:
            async with asyncio.timeout(seconds):
                head = await self.reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return "no answer"
        except (asyncio.IncompleteReadError, ConnectionError):
            return "closed"
        except asyncio.LimitOverrunError:
            return "long head"
        found = _STATUS.match(head)
        return found[1].decode() if found else "no HTTP"

    async def until_closed(self, seconds: float) -> str:
        """Read nothing more; return whether the gateway closed the connection within the time.

        A closed connection is noticed without reading, since the transport is paused and the kernel tells of a reset.
        """
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while not self.writer.transport.is_closing():
                    await asyncio.sleep(0.5)
                    if _reset(self.writer):
                        return "closed"
                return "closed"
        return "held"

    async def drain(self, seconds: float) -> int:
        """Read and drop until the end or the time; return how many bytes came."""
        count = 0
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                while chunk := await self.reader.read(65_536):
                    count += len(chunk)
        return count

    def abort(self) -> None:
        """Close with a reset, as a client that crashes or does not want to wait."""
        raw = self.writer.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> bool:
    """Whether the kernel knows that the peer has closed; nothing is read."""
    raw = writer.get_extra_info("socket")
    info = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)
    return info[0] in (7, 8)  # CLOSE, CLOSE_WAIT


@dataclass
class Attacker:
    """One source address that attacks the gateway."""

    address: str
    host: str
    port: int
    dice: random.Random = field(repr=False)

    @contextlib.asynccontextmanager
    async def connected(self, *, receive_buffer: int | None = None) -> AsyncIterator[Connection]:
        """Open a connection from the address, and close it at the end of the block.

        With a ``receive_buffer`` the kernel takes only so many bytes that nobody reads.
        """
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setblocking(False)
        # Segments as on the internet: those of the loopback, 64 KB each, let the kernel hold megabytes for each reader.
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        if receive_buffer is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            raw.bind((self.address, 0))
            await asyncio.get_running_loop().sock_connect(raw, (self.host, self.port))
            reader, writer = await asyncio.open_connection(sock=raw, limit=65_536 if receive_buffer is None else 1_024)
        except BaseException:
            raw.close()
            raise
        connection = Connection(reader, writer)
        try:
            yield connection
        finally:
            writer.transport.abort()

    async def ask(self, *raw: bytes, seconds: float = 20.0) -> str:
        """Send the parts on a new connection; return the status of the answer, of which the body is read too."""
        async with self.connected() as connection:
            for part in raw:
                connection.send(part)
            status = await connection.status(seconds)
            await connection.drain(0.05 if status not in ("200", "202") else 2.0)
            return status

    async def get(self, path: str, *headers: str, method: str = "GET") -> str:
        """Request a path on a new connection; return the status."""
        return await self.ask(request(path, "Connection: close", *headers, method=method))


class Attack:
    """One way to hurt the gateway. The docstring of each says what it does, and what it did before its defence."""

    #: Attempts a second, of all addresses together.
    per_second: ClassVar[float] = 5.0
    #: Attempts that may be under way at once; more are not begun.
    at_once: ClassVar[int] = 100
    #: The longest that one attempt may take.
    seconds: ClassVar[float] = 30.0

    async def attempt(self, attacker: Attacker) -> str:
        """Attack once; return what became of it, for the counts."""
        raise NotImplementedError
