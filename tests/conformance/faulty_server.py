"""A small server of event streams, written on sockets, in which each fault can be planted."""

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

__all__ = ["StreamServer", "running"]

PERIOD = 0.02
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
    "Vary": "Origin",
    "Transfer-Encoding": "chunked",
}


CONNECTION = b"event: connection\n"


def frame(number: int) -> bytes:
    """Return an event."""
    return f"id: 1-{number}\nevent: price\ndata: {number}\n\n".encode()


@dataclass
class StreamServer:
    """A correct server; a test replaces one of its parts by a faulty one.

    One event is made every 20 ms and sent to every reader; `Last-Event-ID` is answered with the events after it.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: dict(HEADERS))
    head_seconds: float = 0.0
    opening_seconds: float = 0.0
    opening: bytes = b"retry: 1000\n" + CONNECTION + b'data: {"kind":"upstream"}\n\n'
    frame: Callable[[int], bytes] = frame
    #: The text sent to a reader: the event, made for the reader of this number.
    for_reader: Callable[[bytes, int], bytes] = lambda sent, _: sent
    #: The first event sent to a reader that has received one.
    resume_from: Callable[[int], int] = lambda last: last + 1
    left_out: Callable[[int, int], bool] = lambda _last, _number: False
    silent_after: float = float("inf")
    broken_after: float = float("inf")
    most_readers: int = 100
    methods: Mapping[str, int | None] = field(default_factory=lambda: {"HEAD": 200, "OPTIONS": 204})
    wrong_parameter: int = 422
    #: The statuses for channels of which one is known, and of which none is; and what refuses the unknown one.
    some_known: int = 200
    none_known: int = 422
    refusal: bytes = CONNECTION + b'data: {"kind":"gap","reason":"refused","ticker":"wrong~value"}\n\n'
    resume_status: int = 200

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._readers = self._open = 0

    @property
    def _newest(self) -> int:
        return int((time.monotonic() - self._began) / PERIOD) + 1

    async def handle(self, connection: ByteStream) -> None:
        """Answer one request."""
        async with connection:
            with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                request = b""
                while b"\r\n\r\n" not in request:
                    request += await connection.receive()
                first, *lines = request.decode().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                method, target, _ = first.split()
                await self._answer(connection, method, parse_qs(urlsplit(target).query), headers)

    async def _answer(
        self, connection: ByteStream, method: str, query: dict[str, list[str]], headers: dict[str, str]
    ) -> None:
        last = headers.get("last-event-id")
        status: int | None = self.status
        refusal = b""
        if method != "GET":
            status = self.methods[method]
        elif channels := query.pop("channels", []):
            some = channels == ["price,wrong~value"]
            status, refusal = (self.some_known, self.refusal) if some else (self.none_known, b"")
        elif query != {"timer": ["0"]}:
            status = self.wrong_parameter
        elif last:
            status = self.resume_status
        elif self._open >= self.most_readers:
            status = 503
        if status is None:
            await anyio.sleep_forever()
        await anyio.sleep(self.head_seconds)
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        body = method == "GET" and status == 200
        if not body:
            lines = lines.replace("Transfer-Encoding: chunked\r\n", "" if method == "HEAD" else "Content-Length: 0\r\n")
        await connection.send(f"HTTP/1.1 {status} Said\r\n{lines}Connection: close\r\n\r\n".encode())
        if body:
            await self._stream(connection, int(last.rpartition("-")[2]) if last else None, refusal)

    async def _stream(self, connection: ByteStream, last: int | None, refusal: bytes) -> None:
        reader, self._readers, self._open = self._readers, self._readers + 1, self._open + 1
        began, number = time.monotonic(), self._newest - 1 if last is None else self.resume_from(last)
        try:
            await anyio.sleep(self.opening_seconds)
            await self._send(connection, self.opening + refusal)
            while (passed := time.monotonic() - began) < self.broken_after:
                while number <= self._newest and passed < self.silent_after:
                    if last is None or not self.left_out(last, number):
                        await self._send(connection, self.for_reader(self.frame(number), reader))
                    number += 1
                await anyio.sleep(PERIOD / 2)
        finally:
            self._open -= 1

    async def _send(self, connection: ByteStream, data: bytes) -> None:
        if data:
            chunked = "Transfer-Encoding" in self.headers
            await connection.send(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)


@contextlib.asynccontextmanager
async def running(server: StreamServer, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on a free port, with TLS if there is a context; yields the address of the stream."""
    tcp = await anyio.create_tcp_listener(local_host="127.0.0.1")
    listener = TLSListener(tcp, context, standard_compatible=False) if context else tcp
    port = tcp.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, server.handle)
        yield f"{'https' if context else 'http'}://127.0.0.1:{port}/sse/?timer=0"
        tasks.cancel_scope.cancel()
