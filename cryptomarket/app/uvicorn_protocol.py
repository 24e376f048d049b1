"""uvicorn's HTTP protocol with request limits, hand-over of a connection to a stream, and wiping of received bytes.

Hand-over: a stream that stays an ASGI response keeps a task, a scope, a parser and several events while it is open,
44 KB in all. Once the stream endpoint has checked a request, it may take the connection and the head of the response
(`scope["extensions"]["cryptomarket.handover"]["take"]`), and nothing of this module stays in memory. uvicorn's flow
control, keep-alive and shutdown no longer apply to that connection; its new owner has its own.

Wiping: a log-in contains a secret, which must not stay in the memory of the process. Received bytes are overwritten in
the read buffer (the event loop would never wipe its own), in the bytes passed to the parser, and in the bodies that the
parser and uvicorn make of them.

The module uses names of uvicorn that are not public. `supported` checks that they exist; otherwise uvicorn's own
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

__all__ = ["HANDOVER", "HandoverProtocol", "supported"]

#: The name of the ASGI extension; the stream endpoint uses the same.
HANDOVER = "cryptomarket.handover"

#: A request must be complete by then.
REQUEST_SECONDS = 10.0
#: The default of nginx; cookies and addresses of browsers are far smaller.
HEAD_BYTES = 32_768
#: The only bodies are log-ins, of a few hundred bytes.
BODY_BYTES = 65_536
#: The size of the one read buffer, which all connections share because it is wiped after each read.
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


def supported() -> bool:
    """Whether the installed uvicorn has the names that this module uses."""
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
    """The extension's function. It holds weak references, since the scope that contains it would be part of a cycle."""
    owner, response = http(), cycle()
    return owner._hand_over(response, protocol, headers) if owner is not None and response is not None else None


@functools.lru_cache(maxsize=256)
def _head(headers: tuple[tuple[bytes, bytes], ...], keep_alive: bool) -> bytes:
    """The head of a stream as uvicorn would write it; cached, since most streams have the same."""
    lines = [b"%b: %b" % (name.lower(), value) for name, value in headers]
    if any(_UNPRINTABLE.search(line) for line in lines):
        raise ValueError("a header with a control character")
    lines += [] if keep_alive else [b"connection: close"]
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"transfer-encoding: chunked", b"", b""))


class _Body(bytearray):
    """A request body, or part of it; wiped before its memory is freed."""

    def __del__(self) -> None:
        self[:] = bytes(len(self))


class _Reading(asyncio.BufferedProtocol):
    """Reads for a HandoverProtocol and wipes what it read."""

    __slots__ = ("http",)
    _buffer = bytearray(READ_BYTES)

    def __init__(self, http: "HandoverProtocol") -> None:
        self.http: HandoverProtocol | None = http

    @staticmethod
    def get_buffer(sizehint: int) -> bytearray:
        """The buffer to read into. All connections share it: bytes are read and handled in one step of the loop."""
        return _Reading._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the received bytes on, then wipe them."""
        with memoryview(self._buffer) as view:
            data = bytes(view[:nbytes])
            view[:nbytes] = bytes(nbytes)
        try:
            if self.http is not None:
                self.http.data_received(data)
        finally:
            wipe(data)

    def eof_received(self) -> None:
        """Pass the end of input on."""
        if self.http is not None:
            self.http.eof_received()

    def pause_writing(self) -> None:
        """Pass the full write buffer on."""
        if self.http is not None:
            self.http.pause_writing()

    def resume_writing(self) -> None:
        """Pass the drained write buffer on."""
        if self.http is not None:
            self.http.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of the connection on."""
        if self.http is not None:
            self.http.connection_lost(exc)
            self.http = None


class HandoverProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with the additions described at the top of this module.

    A request must be complete within REQUEST_SECONDS, HEAD_BYTES and BODY_BYTES.
    """

    request_seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    _received = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request."""
        super().connection_made(transport)
        self._reading = _Reading(self)
        transport.set_protocol(self._reading)
        self._deadline = self.loop.call_later(self.request_seconds, self._time_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count and parse a part of a request, or of several."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.request_seconds, self._time_out)
        self._received += len(data)
        super().data_received(data)
        if self._deadline is not None and self._received > (BODY_BYTES if self._in_body else HEAD_BYTES):
            self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE if self._in_body else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            )

    def on_headers_complete(self) -> None:
        """Refuse a head that is too large; else run the application, with the extension in its scope."""
        # The received bytes may include more than the head, so only a large number is counted exactly.
        if self._received > HEAD_BYTES and self._head_bytes() > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return
        self._in_body, self._received = True, 0
        super().on_headers_complete()
        if self.cycle is not None:  # the application's task has not run yet
            take = functools.partial(_take, weakref.ref(self), weakref.ref(self.cycle))
            self.scope["extensions"] = {HANDOVER: {"take": take}}

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_message_complete(self) -> None:
        """Stop the time of a complete request."""
        self._stop_timer()
        self._in_body, self._received = False, 0
        if self.cycle is not None:
            super().on_message_complete()

    def on_body(self, body: bytes) -> None:
        """Append a part of the body, unless its head was refused, then wipe it."""
        if self.cycle is not None and not self.cycle.response_complete:
            # Not `+=`, which moves a growing body and leaves its bytes at the old place.
            so_far, whole = self.cycle.body, _Body(len(self.cycle.body) + len(body))
            with memoryview(whole) as view:
                view[: len(so_far)], view[len(so_far) :] = so_far, body
            self.cycle.body = whole
            super().on_body(b"")
        wipe(body)

    def handle_websocket_upgrade(self) -> None:
        """Stop the timer: another protocol takes the connection."""
        self._stop_timer()
        super().handle_websocket_upgrade()

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        self._deadline = None
        self._refuse(HTTPStatus.REQUEST_TIMEOUT if self._received or self._in_body else None)

    def _refuse(self, status: HTTPStatus | None) -> None:
        """Close the connection, after the status if there is one and no response has begun."""
        self._stop_timer()
        if self.transport.is_closing():
            return
        if status is not None and (self.cycle is None or self.cycle.response_complete):
            self.transport.write(
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
        self.transport.close()

    def _hand_over(self, cycle: RequestResponseCycle, protocol: asyncio.Protocol, headers: Headers) -> Taken | None:
        """Make ``protocol`` the owner of the connection; returns its transport and the head of the response.

        Returns None when the client has disconnected. The response must not have begun. The new owner writes the head
        together with the first chunk, and the end.
        """
        transport, gone = self.transport, cycle.disconnected or self.transport.is_closing() or cycle.response_started
        head = _head((*cycle.default_headers, *headers), cycle.keep_alive)
        cycle.response_started = cycle.response_complete = True  # for uvicorn
        if gone:
            return None
        cycle.message_event.set()
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.flow.resume_reading()  # pipelined requests may have paused it; they are not answered
        self.connections.discard(self)
        self.server_state.total_requests += 1
        transport.pause_reading()  # otherwise uvloop goes on reading into the old buffer
        transport.set_protocol(protocol)
        transport.resume_reading()
        self._reading.http = None
        # Each of these refers back to this object; without them it is freed at once instead of by the collector.
        self.pipeline.clear()
        self.parser = self.scope = self.cycle = self.flow = self.transport = self._reading = None  # type: ignore[assignment]
        return transport, head
