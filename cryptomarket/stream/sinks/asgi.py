"""Where a stream's bytes go: the small interface the manager writes to, and its form for any ASGI server.

A sink never waits. What it cannot take it refuses, and says when it could take something again, so that the manager can
choose then what is newest. It knows no ticker and no timer.
"""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

import anyio

__all__ = ["AsgiSink", "Sink"]


class Sink(Protocol):
    """One reader. Nothing is written after `close` or `abort`; both may be called twice."""

    @staticmethod
    def framed(data: bytes, /) -> bytes:
        """The bytes as this kind of sink writes them; a cohort asks once for all its streams."""

    def write(self, frame: bytes, /) -> bool:
        """Take the whole frame, or refuse it with False because the reader is behind."""

    def when_drained(self, resume: Callable[[], None], /) -> None:
        """Call once, as soon as a frame would be taken again; never from within this call."""

    def close(self, farewell: bytes, /) -> None:
        """End in good order, with a last frame."""

    def abort(self) -> None:
        """End at once: the reader takes nothing, not even the end."""


class AsgiSink:
    """Holds what was written until the response of an ASGI server takes it.

    The server's own buffer (64 KB in uvicorn) comes on top, so the box is small; one frame fits always.
    """

    __slots__ = ("_closed", "_frames", "_limit", "_on_abort", "_ready", "_resume", "_size")

    def __init__(self, on_abort: Callable[[], object], *, limit_bytes: int = 16_384) -> None:
        self._on_abort = on_abort
        self._limit = limit_bytes
        self._frames: list[bytes] = []
        self._size = 0
        self._closed = False
        self._ready = anyio.Event()
        self._resume: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<MailboxSink {self._size} bytes{' closed' if self._closed else ''}>"

    @staticmethod
    def framed(data: bytes) -> bytes:
        """The bytes themselves: framing is the server's."""
        return data

    def write(self, frame: bytes) -> bool:
        """Keep the frame for the response, or refuse it when the last ones were not taken yet."""
        if self._closed:
            return True
        if self._size and self._size + len(frame) > self._limit:
            return False
        self._put(frame)
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Call once when the response has taken everything."""
        self._resume = resume

    def close(self, farewell: bytes) -> None:
        """Let the response end after what is in the box and the farewell."""
        if not self._closed:
            self._put(farewell)
            self._closed = True
            self._resume = None

    def abort(self) -> None:
        """Cancel the response, which is waiting for its reader."""
        if not self._closed:
            self._closed = True
            self._resume = None
            self._frames.clear()
            self._size = 0
            self._ready.set()
            self._on_abort()

    def _put(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._size += len(frame)
        self._ready.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """What was written, as the body of a response; ends after `close`."""
        while True:
            if not self._frames and (resume := self._resume) is not None:
                self._resume = None
                resume()
            await self._ready.wait()
            for frame in self._take():
                yield frame
            if self._closed and not self._frames:
                return

    def _take(self) -> list[bytes]:
        frames, self._frames = self._frames, []
        self._size = 0
        if not self._closed:
            self._ready = anyio.Event()
        return frames
