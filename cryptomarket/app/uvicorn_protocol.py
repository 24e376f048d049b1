"""uvicorn's HTTP protocol that hands a connection over to a stream.

A stream that stays an ASGI response keeps a task, a scope, a parser and several events while it is open, 44 KB in all.
Once the stream endpoint has checked a request, it may take the connection and the head of the response
(`scope["extensions"]["cryptomarket.handover"]["take"]`), and nothing of this module stays in memory. uvicorn's flow
control, keep-alive and shutdown no longer apply to that connection; its new owner has its own.

This module and `limited_protocol` use names of uvicorn that are not public. `supported` checks that they exist;
otherwise uvicorn's own protocol serves the same application, and streams stay ASGI responses.
"""

import asyncio
import functools
import re
import weakref
from collections.abc import Callable, Iterable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from .limited_protocol import LimitedProtocol

__all__ = ["HANDOVER", "HandoverProtocol", "supported"]

#: The name of the ASGI extension; the stream endpoint uses the same.
HANDOVER = "cryptomarket.handover"

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
_METHODS = {
    "_should_upgrade",
    "_start_asgi_task",
    "_unset_keepalive_if_required",
    "on_body",
    "on_header",
    "on_headers_complete",
    "on_message_begin",
    "on_message_complete",
    "on_response_complete",
    "pause_writing",
    "resume_writing",
}
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
    """Whether the installed uvicorn has the names that these modules use."""
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


class HandoverProtocol(LimitedProtocol):
    """uvicorn's HTTP protocol with limits, which hands connections over to streams."""

    def on_headers_complete(self) -> None:
        """Run the application with the extension in the scope of its request."""
        super().on_headers_complete()
        take = functools.partial(_take, weakref.ref(self), weakref.ref(self.cycle))
        self.scope["extensions"] = {HANDOVER: {"take": take}}  # the application's task has not run yet

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
        self._limits.closed(self)
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
        self._answering = None
        return transport, head
