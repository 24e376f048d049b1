"""A sink on the bare connection, which our server hands over once a request for a stream has been read.

Behind ASGI an open stream costs a task, a scope, a parser and several events, and every write wakes a task: measured,
44 KB a stream and 62 microseconds an event. Where the server offers the handover (`scope["extensions"]`, see
`app/uvicorn_protocol.py`), this sink becomes the protocol of the transport and the rest of the request is dropped:
under 2 KB a stream, and a write is one call. The server supplies the head of the response, which travels with the first
chunk, since two packets would cost twice as much. Flow control is the transport's: `pause_writing`, `resume_writing`.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..subscribers import Stream

__all__ = ["HANDOVER", "SocketSink"]

#: The ASGI extension of the server. Its "take" receives the new protocol of the connection and the headers of the
#: response, and returns the transport and the head of the response, or None if the reader is gone.
HANDOVER = "cryptomarket.handover"

#: A reader is behind as soon as the kernel's buffer is full: the process keeps the rest of one frame, nothing more.
HIGH_WATER_BYTES = 0
#: The kernel doubles it for its own accounting. Its default would hold megabytes of old prices for a slow reader.
SEND_BUFFER_BYTES = 16_384
#: How long a reader may take to read the farewell before the connection is aborted.
CLOSE_SECONDS = 2.0

_LAST_CHUNK = b"0\r\n\r\n"


class _Writer(Protocol):
    def write(self, data: bytes, /) -> None: ...


class _Before(list[bytes]):
    """Keeps what is written between joining and the handover of the connection."""

    write = list.append


class _After:
    """Drops what is written after the end."""

    def write(self, data: bytes, /) -> None:
        """Drop it."""


_AFTER = _After()


class SocketSink(asyncio.Protocol):
    """The sink and the asyncio protocol of one connection.

    The caller sets ``stream`` after joining; ``leave`` is called with it when the connection is lost.
    """

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
        """Write to the handed-over connection from now on, beginning with the head of the response."""
        before, self._transport = self._transport, transport
        transport.set_write_buffer_limits(high=HIGH_WATER_BYTES, low=0)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if isinstance(before, _Before):
            transport.write(b"".join((head, *before)))
        if self._writer is _AFTER:
            self._close_transport()
        else:
            self._writer = transport
            # A transport that was already full does not call pause_writing again.
            self._paused = transport.get_write_buffer_size() > 0

    @staticmethod
    def framed(data: bytes) -> bytes:
        """One chunk of the chunked body."""
        return b"%x\r\n%b\r\n" % (len(data), data)

    def write(self, frame: bytes) -> bool:
        """Write the frame, or refuse it while the reader has not taken the last ones."""
        if self._paused:
            return False
        self._writer.write(frame)
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, when the reader has taken everything."""
        self._resume = resume

    def close(self, farewell: bytes) -> None:
        """Write the farewell and the end of the body, then close the connection."""
        if self._writer is not _AFTER:
            self._writer.write(farewell + _LAST_CHUNK)
            self._end()
            self._close_transport()

    def abort(self) -> None:
        """Abort the connection."""
        self._end()
        if self._transport is not None and not isinstance(self._transport, _Before):
            self._transport.abort()

    def _end(self) -> None:
        self._writer = _AFTER
        self._paused = False
        self._resume = None

    def _close_transport(self) -> None:
        transport = self._transport
        if transport is not None and not isinstance(transport, _Before):
            transport.close()
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)

    # Callbacks of the transport

    def pause_writing(self) -> None:
        """The reader is behind: refuse frames."""
        self._paused = self._writer is not _AFTER

    def resume_writing(self) -> None:
        """The reader has taken everything: take frames again."""
        self._paused = False
        resume, self._resume = self._resume, None
        if resume is not None:
            resume()

    def data_received(self, _: bytes) -> None:
        """Abort: nothing may follow the request of a stream, neither a second request nor a body."""
        self.abort()

    def connection_lost(self, _: Exception | None) -> None:
        """Let the stream leave."""
        self._end()
        self._transport = None
        stream, self.stream = self.stream, None
        if stream is not None:
            self._leave(stream)
