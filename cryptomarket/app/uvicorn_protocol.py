"""uvicorn's HTTP protocol with three things it lacks: budgets for a request, a door for streams, and a short memory.

Why it exists: a stream that stays an ASGI response keeps a task, a scope, a parser and several events for as long as it
is open, 44 KB in all. So the endpoint of the streams, with a request checked, may take the connection and the head of
its answer, to write it with the first chunk (`scope["extensions"]["cryptomarket.handover"]["take"]`), and nothing here
stays behind. What it bypasses: uvicorn's flow control, keep-alive and shutdown for that connection; its new owner has
its own.

A short memory: a log-in carries a secret, and whoever reads the memory of the process later must not find it. So what
is received is overwritten wherever it lay: in the buffer it was read into (the event loop's own is never wiped), in the
piece the parser was given, in the bodies that the parser and uvicorn make of it.

It leans on names of uvicorn that are not public. `fits` checks that they are there; where they are not, uvicorn's own
protocol serves the same application, and streams stay ASGI responses.
"""

import asyncio
import functools
import re
import weakref
from collections.abc import Callable, Iterable
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..deribit.auth import wipe

__all__ = ["HANDOVER", "HandoverProtocol", "fits"]

#: The name of the door; the endpoint of the streams knows it too.
HANDOVER = "cryptomarket.handover"

#: A request that is not here by then never will be: silent, half a head, or a byte now and then.
REQUEST_SECONDS = 10.0
#: What nginx allows by default; cookies and addresses of honest clients are far smaller.
HEAD_BYTES = 32_768
#: The only bodies are log-ins of a few hundred bytes.
BODY_BYTES = 65_536
#: What is read at once, by all connections of the process into the same place, as nothing stays there.
READ_BYTES = 65_536

_UNPRINTABLE = re.compile(rb"[\x00-\x1f\x7f]")

_PROTOCOL_NAMES = {
    "connections",
    "cycle",
    "flow",
    "headers",
    "loop",
    "parser",
    "pipeline",
    "scope",
    "server_state",
}
_METHODS = {"_unset_keepalive_if_required", "handle_websocket_upgrade", "on_body", "on_headers_complete"}
_CYCLE_NAMES = {
    "body",
    "default_headers",
    "disconnected",
    "keep_alive",
    "message_event",
    "response_complete",
    "response_started",
}


def fits() -> bool:
    """Whether the installed uvicorn has the parts that the protocol leans on."""
    return (
        _assigned(HttpToolsProtocol).issuperset(_PROTOCOL_NAMES)
        and _METHODS.issubset(dir(HttpToolsProtocol))
        and _assigned(RequestResponseCycle).issuperset(_CYCLE_NAMES)
    )


def _assigned(cls: type) -> set[str]:
    return set(cls.__init__.__code__.co_names)  # type: ignore[misc]


Headers = Iterable[tuple[bytes, bytes]]
Taken = tuple[asyncio.Transport, bytes]


def _take(
    http: "Callable[[], HandoverProtocol | None]",
    cycle: Callable[[], RequestResponseCycle | None],
    protocol: asyncio.Protocol,
    headers: Headers,
) -> Taken | None:
    """The door: it holds nothing alive, as the scope it stands in would otherwise be part of a cycle."""
    owner, response = http(), cycle()
    return owner._hand_over(response, protocol, headers) if owner is not None and response is not None else None


@functools.lru_cache(maxsize=256)
def _head(headers: tuple[tuple[bytes, bytes], ...], keep_alive: bool) -> bytes:
    """The head of a stream as uvicorn would write it, remembered, since a crowd that returns gets the same."""
    lines = [b"%b: %b" % (name.lower(), value) for name, value in headers]
    if any(_UNPRINTABLE.search(line) for line in lines):
        raise ValueError("a header with a control character")
    lines += [] if keep_alive else [b"connection: close"]
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"transfer-encoding: chunked", b"", b""))


class _Body(bytearray):
    """What came of a body so far; its memory is wiped before it is given back."""

    def __del__(self) -> None:
        self[:] = bytes(len(self))


class _Reading(asyncio.BufferedProtocol):
    """Reads for the protocol behind it, and leaves nothing of what was read in any buffer."""

    __slots__ = ("http",)
    _buffer = bytearray(READ_BYTES)

    def __init__(self, http: "HandoverProtocol") -> None:
        self.http: HandoverProtocol | None = http

    @staticmethod
    def get_buffer(sizehint: int) -> bytearray:
        """Where to put what comes: read and handled in one step of the loop, so all connections share it."""
        return _Reading._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        with memoryview(self._buffer) as view:
            data = bytes(view[:nbytes])
            view[:nbytes] = bytes(nbytes)
        try:
            if self.http is not None:
                self.http.data_received(data)
        finally:
            wipe(data)

    def eof_received(self) -> None:
        """The client has said all."""
        if self.http is not None:
            self.http.eof_received()

    def pause_writing(self) -> None:
        """The client does not read."""
        if self.http is not None:
            self.http.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        if self.http is not None:
            self.http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        if self.http is not None:
            self.http.connection_lost(exc)
            self.http = None


class HandoverProtocol(HttpToolsProtocol):
    """uvicorn's HTTP with what it lacks: budgets, a door for a stream to take the connection, and a short memory.

    A request must be complete within a time and a size, whoever drips it. And `scope["extensions"]` has a function that
    makes another protocol the owner of the connection and of the head of the response; nothing here stays behind.
    """

    request_seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _received = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client came, and has so long to make its request."""
        super().connection_made(transport)
        self._reading = _Reading(self)
        transport.set_protocol(self._reading)
        self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request, the whole, or more than that."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._too_slow)
        self._received += len(data)
        super().data_received(data)
        if self._deadline is not None and self._received > (BODY_BYTES if self._in_body else HEAD_BYTES):
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE if self._in_body else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            )

    def on_headers_complete(self) -> None:
        """The head is here: answer it, unless it is one no honest client sends."""
        # What was received is at least the head, and with nothing behind it is just the head.
        if self._received > HEAD_BYTES and self._head_bytes() > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self._in_body, self._received = True, 0
        super().on_headers_complete()
        if self.cycle is not None:  # the application's task runs later, so it will find this
            take = functools.partial(_take, weakref.ref(self), weakref.ref(self.cycle))
            self.scope["extensions"] = {HANDOVER: {"take": take}}

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        """The request is whole: its time is no longer counted."""
        self._forget_deadline()
        self._in_body, self._received = False, 0
        if self.cycle is not None:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, of interest unless its head was refused."""
        if self.cycle is not None and not self.cycle.response_complete:
            # Not `+=`, which moves a growing body and leaves it where it was.
            so_far, whole = self.cycle.body, _Body(len(self.cycle.body) + len(body))
            with memoryview(whole) as view:
                view[: len(so_far)], view[len(so_far) :] = so_far, body
            self.cycle.body = whole
            super().on_body(b"")
        wipe(body)

    def handle_websocket_upgrade(self) -> None:
        """The connection is another protocol's from here."""
        self._forget_deadline()
        super().handle_websocket_upgrade()

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT if self._received or self._in_body else None)

    def _refuse(self, status: HTTPStatus | None) -> None:
        """Say why, unless an answer is under way or nothing was asked, and hang up."""
        self._forget_deadline()
        if self.transport.is_closing():
            return
        if status is not None and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
        self.transport.close()

    def _hand_over(self, cycle: RequestResponseCycle, protocol: asyncio.Protocol, headers: Headers) -> Taken | None:
        """Make the protocol the owner of the connection, and let go of everything; None when the client is gone.

        The response must not have begun. Its head comes with the transport, so that it travels with the first chunk;
        head, chunks and end are the new owner's to write.
        """
        transport, gone = self.transport, cycle.disconnected or self.transport.is_closing() or cycle.response_started
        head = _head((*cycle.default_headers, *headers), cycle.keep_alive)
        cycle.response_started = cycle.response_complete = True  # as far as uvicorn is concerned
        if gone:
            return None
        cycle.message_event.set()
        self._forget_deadline()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()  # requests sent in advance have paused it; they are not answered
        self.connections.discard(self)
        self.server_state.total_requests += 1
        transport.pause_reading()  # uvloop reads on into the old buffer otherwise
        transport.set_protocol(protocol)
        transport.resume_reading()
        self._reading.http = None
        # Each of these leads back to this object; without them it is freed at once, and not when a collector runs.
        self.pipeline.clear()
        self.parser = self.scope = self.cycle = self.flow = self.transport = self._reading = None  # type: ignore[assignment]
        return transport, head
