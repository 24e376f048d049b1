"""uvicorn's HTTP protocol with limits, and wiping of received bytes.

Limits: size and time of a request, one request that waits behind the one being answered, and what `ConnectionLimits`
decides about all connections. A refused request is answered with a status after the answers before it, and the
connection is closed. Fields in the trailer of a chunked body are ignored, and there are no upgrades.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ..deribit.auth import wipe
from ..refusals import Refused, ignore_refusal
from .connection_limits import ConnectionLimits, Stage
from .read_buffer import WipedBody, WipingReader

__all__ = ["LimitedProtocol"]

log = structlog.get_logger(__name__)

#: A request must be complete by then.
REQUEST_SECONDS = 10.0
#: The default of nginx; cookies and addresses of browsers are far smaller.
HEAD_BYTES = 32_768
#: The default of Apache. Each takes some 150 bytes beside its text, so many small ones would cost more than HEAD_BYTES.
HEADERS = 100
#: The only bodies are log-ins, of a few hundred bytes.
BODY_BYTES = 65_536

#: The limits where nobody passes others, such as under `uvicorn --http`; they know no addresses.
_LIMITS: "ConnectionLimits[LimitedProtocol]" = ConnectionLimits()


def _route(cycle: RequestResponseCycle) -> str:
    return cycle.scope["path"]


class _StopParsing(Exception):
    """Raised in a callback of the parser, so that it reads nothing more."""


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits.

    A request must be complete within REQUEST_SECONDS, HEAD_BYTES, HEADERS and BODY_BYTES. Refused requests are
    reported to ``refused``.
    """

    request_seconds = REQUEST_SECONDS
    _deadline: asyncio.TimerHandle | None = None
    #: Received in whole reads since the head or the body of the current request began.
    _received = 0
    _read_bytes = 0
    _body_bytes = 0
    _in_request = _in_body = False
    #: The request whose answer is made; uvicorn's ``cycle`` is the newest, which may wait.
    _answering: RequestResponseCycle | None = None
    _stage = Stage.INCOMPLETE
    #: No more requests are accepted; after the answers and the last response the connection is closed.
    _finished = False
    _last_response = b""

    def __init__(
        self,
        *arguments: Any,
        limits: "ConnectionLimits[LimitedProtocol]" = _LIMITS,
        refused: Refused = ignore_refusal,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._refused = refused

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request, unless there are too many connections."""
        super().connection_made(transport)
        self._reading = WipingReader(self)
        transport.set_protocol(self._reading)
        superfluous = self._limits.opened(self, self.client[0] if self.client else "")
        if superfluous is self:
            # No status: an EventSource reconnects after a lost connection, and never after a status of an error.
            self.give_way("connections_per_address")
            return
        if superfluous is not None:
            superfluous.give_way(None)
        self._start_timer()
        self._close_excess()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer and the answer, and forget the requests that wait."""
        self._stop_timer()
        self._limits.closed(self)
        cycle = self._answering
        if cycle is not None and not cycle.disconnected:
            log.debug("client disconnected before the end of the answer", address=self._address, route=_route(cycle))
        self._disconnect()
        super().connection_lost(exc)

    def give_way(self, reason: str | None) -> None:
        """Close the connection at once, because of a limit of all connections; no ``reason`` is nothing to report."""
        if reason is not None:
            self._report(reason)
        self._limits.closed(self)
        self._finished = True
        self._stop_timer()
        self._disconnect()
        self.transport.abort()

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        self._update()

    def resume_writing(self) -> None:
        """The client reads its answer."""
        super().resume_writing()
        self._update()

    def _disconnect(self) -> None:
        """Let the application learn that its answer is not wanted any more."""
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        self.pipeline.clear()
        self.flow.resume_writing()

    def _close_excess(self) -> None:
        while (found := self._limits.excess()) is not None:
            connection, reason = found
            connection.give_way(reason)

    @property
    def _address(self) -> str | None:
        return self.client[0] if self.client else None

    # Requests

    def data_received(self, data: memoryview) -> None:  # type: ignore[override]
        """Count and parse a part of a request, or of several."""
        if self._finished:
            self.flow.pause_reading()
            return
        self._unset_keepalive_if_required()
        size = len(data)
        self._received += size
        self._read_bytes = size
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._finish()  # answered as the request it is; what follows may be of another protocol
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "malformed_request")
        else:
            if self._in_body and self._received > BODY_BYTES:
                self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
            elif not self._in_body and (
                self._received > HEAD_BYTES or (self._in_request and len(self.headers) > HEADERS)
            ):
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
        if not self._finished:
            self._update()
            if self._stage is Stage.INCOMPLETE:
                self._limits.received(self, size)
                self._close_excess()

    def on_message_begin(self) -> None:
        """Begin a request, if no other one waits."""
        if self.pipeline:
            self._refuse(None, "pipelining")
        elif self._answering is not None and not self._answering.keep_alive:
            self._finish()
        if self._finished:
            raise _StopParsing
        self._in_request = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header, but not a field of the trailer after a body."""
        if self._in_body:
            return
        # As uvicorn does, whose method costs as much again to call.
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse a wrong head; else run the application."""
        # A read may hold more than this head, so only many bytes are counted exactly.
        many = self._received + self._read_bytes > HEAD_BYTES
        if len(self.headers) > HEADERS or (many and self._head_bytes() > HEAD_BYTES):
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large")
            raise _StopParsing
        super().on_headers_complete()
        self._in_body, self._received, self._body_bytes = True, 0, 0

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Append a part of the body, then wipe it."""
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES:
            wipe(body)
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large")
            raise _StopParsing
        if not self.cycle.response_complete:
            # Not `+=`, which moves a growing body and leaves its bytes at the old place.
            so_far, whole = self.cycle.body, WipedBody(len(self.cycle.body) + len(body))
            with memoryview(whole) as view:
                view[: len(so_far)], view[len(so_far) :] = so_far, body
            self.cycle.body = whole
            super().on_body(b"")
        wipe(body)

    def on_message_complete(self) -> None:
        """Stop the time of a complete request."""
        self._stop_timer()
        self._in_request, self._in_body, self._received = False, False, 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Answer the request that waits, or close the connection after its last answer."""
        self._answering = None
        if self._finished and not self.pipeline:
            self._close(self._last_response)
        super().on_response_complete()
        self._update()

    def _should_upgrade(self) -> bool:
        return False

    # Time and refusals

    def _update(self) -> None:
        """Start the time of a request that has begun, and tell the limits what the connection does now."""
        incomplete = self._in_request or self._received > 0
        if self._answering is not None:  # the time of the next request begins when this one is answered
            incomplete = self._in_body and self.cycle is self._answering
        incomplete = incomplete and not self._finished
        if incomplete and self._deadline is None:
            self._start_timer()
        stage = Stage.INCOMPLETE if incomplete else Stage.IDLE
        if self.flow.write_paused:  # also of an answer that is made, of which the transport keeps the rest
            stage = Stage.UNREAD
        elif self._answering is not None and not incomplete:
            stage = Stage.ANSWERING
        elif incomplete:
            self._unset_keepalive_if_required()
        if stage is not self._stage:
            self._stage = stage
            unread = stage is Stage.UNREAD
            self._limits.moved(self, stage, self.transport.get_write_buffer_size() if unread else 0)
            if unread:
                self._close_excess()

    def _start_timer(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        self._deadline = None
        if self._in_request or self._received:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout")
        else:  # browsers open connections that they never use
            self._finish()

    def _refuse(self, status: HTTPStatus | None, reason: str) -> None:
        """Accept no more requests; close after the answers to those before, and after ``status`` if there is one."""
        if self._finished:
            return
        self._report(reason, status)
        response = b""
        if status is not None:
            response = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
        if not self._in_body:
            self._finish(response)
        elif self.cycle is not self._answering:  # it waits, or is answered already
            waited = bool(self.pipeline)
            self.pipeline.clear()
            self._finish(response if waited else b"")
        else:
            started = self.cycle.response_started
            self._disconnect()
            self._answering = None
            self._finish(b"" if started else response)

    def _finish(self, response: bytes = b"") -> None:
        """Accept no more requests; close after the answers, and after ``response``."""
        if self._finished:
            return
        self._finished = True
        self._stop_timer()
        last = self.pipeline[0][0] if self.pipeline else self._answering
        if last is None:
            self._close(response)
        elif response:
            self._last_response = response
        else:
            last.keep_alive = False

    def _close(self, response: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(response)
            self.transport.close()

    def _report(self, reason: str, status: HTTPStatus | None = None) -> None:
        route = _route(self.cycle) if self._in_body else ""
        self._refused(reason, address=self._address, route=route, status=status.value if status else None)
