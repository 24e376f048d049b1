"""A sink for any ASGI server: it keeps what was written until the response sends it."""

from collections.abc import AsyncIterator, Callable

import anyio

__all__ = ["AsgiSink"]


class AsgiSink:
    """Keeps frames until the response takes them; ``on_abort`` cancels the response.

    The limit is small, because the server has a buffer of its own (64 KB in uvicorn). One frame always fits.
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
        return f"<AsgiSink {self._size} bytes{' closed' if self._closed else ''}>"

    @staticmethod
    def framed(data: bytes) -> bytes:
        """The bytes unchanged: the server frames them."""
        return data

    def write(self, frame: bytes) -> bool:
        """Keep the frame for the response, or refuse it while the response has not taken the last ones."""
        if self._closed:
            return True
        if self._size and self._size + len(frame) > self._limit:
            return False
        self._put(frame)
        return True

    def when_drained(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` once, when the response has taken everything."""
        self._resume = resume

    def close(self, farewell: bytes) -> None:
        """Let the response end after the frames kept and the farewell."""
        if not self._closed:
            self._put(farewell)
            self._closed = True
            self._resume = None

    def abort(self) -> None:
        """Drop what is kept and cancel the response, which waits for its reader."""
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
        """The frames, as the body of the response; ends after `close`."""
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
