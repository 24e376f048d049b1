"""Received bytes, overwritten as soon as they are handled.

A log-in contains a secret, which must not stay in the memory of the process. The event loop would never wipe its own
read buffer, so connections read into the one of this module; the bytes passed on are wiped as well.
"""

import asyncio
from typing import Protocol

__all__ = ["WipedBody", "WipingReader"]

#: The size of the one read buffer, which all connections share because it is wiped after each read.
READ_BYTES = 65_536


class WipedBody(bytearray):
    """A request body, or part of it; wiped before its memory is freed."""

    def __del__(self) -> None:
        self[:] = bytes(len(self))


class _Receiver(Protocol):
    def data_received(self, data: memoryview, /) -> None: ...
    def eof_received(self) -> None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None, /) -> None: ...


class WipingReader(asyncio.BufferedProtocol):
    """Reads for another protocol, ``http``, and wipes what it read."""

    __slots__ = ("http",)
    _buffer = bytearray(READ_BYTES)

    def __init__(self, http: _Receiver) -> None:
        self.http: _Receiver | None = http

    @staticmethod
    def get_buffer(sizehint: int) -> bytearray:
        """The buffer to read into. All connections share it: bytes are read and handled in one step of the loop."""
        return WipingReader._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass the received bytes on, then wipe them."""
        with memoryview(self._buffer)[:nbytes] as data:
            try:
                if self.http is not None:
                    self.http.data_received(data)
            finally:
                data[:] = bytes(nbytes)

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
