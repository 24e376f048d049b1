"""A stream on the bare connection: what is left of a request once the server has handed its socket over.

Under ASGI a stream costs a task, a scope, a parser and several events for as long as it is open; every write wakes a
task: 44 KB and 62 microseconds an event were measured for it. Where the server offers to hand the connection over
(`scope["extensions"]`, see `cryptomarket.handover`), this object becomes the transport's protocol and everything else
of the request is let go: under 2 KB, and a write is one call. The server gives the head of the response with it, which
is what any stream's is, and travels with the first chunk, as two packets would cost twice as much. It bypasses
`sse_starlette` and uvicorn's flow control, and brings its own: the transport says when it is full and when it is empty.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..subscribers import Stream

__all__ = ["HANDOVER", "SocketSink"]

#: The extension of the server; its "take" is given the new protocol of the connection and the headers of the response,
#: and gives the transport and the head.
HANDOVER = "cryptomarket.handover"

#: With the kernel's part full, a reader is behind: the process keeps the rest of one frame for it, and nothing more.
HIGH_WATER_BYTES = 0
#: The kernel doubles it for its own accounting. Left alone, it would hold megabytes of old prices for a slow reader.
SEND_BUFFER_BYTES = 16_384
#: A reader that does not take the farewell is not waited for longer than this.
LINGER_SECONDS = 2.0

_LAST_CHUNK = b"0\r\n\r\n"


class _Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...


class _Before(list[bytes]):
    """Holds what is written before the connection is handed over, a moment later."""

    write = list.append


class _After:
    """Takes nothing any more."""

    def write(self, data: bytes, /) -> None:
        """Nobody reads it."""


_AFTER = _After()


class SocketSink(asyncio.Protocol):
    """The sink and the protocol of one connection. ``stream`` is set by who joined it, ``leave`` is told of its end."""

    __slots__ = ("_leave", "_paused", "_resume", "_transport", "_writer", "stream")

    def __init__(self, leave: Callable[["Stream"], None]) -> None:
        self.stream: Stream | None = None
        self._leave = leave
        self._transport: asyncio.Transport | _Before | None = _Before()
        self._writer: _Writer = self._transport
        self._paused = False
        self._resume: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<SocketSink{' behind' if self._paused else ''}{' ended' if self._writer is _AFTER else ''}>"

    def attach(self, transport: asyncio.Transport, head: bytes) -> None:
        """The connection is ours: write to it from now on, first the head."""
        before, self._transport = self._transport, transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=0)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if isinstance(before, _Before):
            transport.write(b"".join((head, *before)))
        if self._writer is _AFTER:
            self._hang_up()
        else:
            self._writer = transport
            # Had it been full before it was ours, it would not say so again.
            self._paused = transport.get_write_buffer_size() > 0

    @staticmethod
    def framed(data: bytes) -> bytes:
        """One chunk of the body."""
        return b"%x\r\n%b\r\n" % (len(data), data)

    def write(self, frame: bytes) -> bool:
        """Write the frame, unless the reader has not taken the last ones."""
        if self._paused:
            return False
        self._writer.write(frame)
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Call once when the reader has taken everything."""
        self._resume = resume

    def close(self, farewell: bytes) -> None:
        """Write the farewell and the end of the body, and hang up when they are out, or soon after."""
        if self._writer is not _AFTER:
            self._writer.write(farewell + _LAST_CHUNK)
            self._end()
            self._hang_up()

    def abort(self) -> None:
        """Hang up at once."""
        self._end()
        if self._transport is not None and not isinstance(self._transport, _Before):
            self._transport.abort()

    def _end(self) -> None:
        self._writer = _AFTER
        self._paused = False
        self._resume = None

    def _hang_up(self) -> None:
        transport = self._transport
        if transport is not None and not isinstance(transport, _Before):
            transport.close()
            asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    # What the transport says

    def pause_writing(self) -> None:
        """The reader is behind."""
        self._paused = self._writer is not _AFTER

    def resume_writing(self) -> None:
        """The reader has taken everything."""
        self._paused = False
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def data_received(self, _: bytes) -> None:
        """A reader has nothing to say after its request: what comes is a second request, a body, or an attempt."""
        self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """The reader is gone."""
        self._end()
        self._transport = None
        stream, self.stream = self.stream, None
        if stream is not None:
            self._leave(stream)
