"""How bytes reach one reader: the interface that the manager writes to, and its two forms.

`asgi` works behind any ASGI server, `socket` on a connection that our own server has handed over.
"""

from collections.abc import Callable
from typing import Protocol

__all__ = ["Sink"]


class Sink(Protocol):
    """The output of one stream. It never waits, and knows no ticker and no timer.

    A sink refuses a frame while its reader is behind and reports when it would take one again, so that the manager can
    then write what is newest. Nothing is written after `close` or `abort`; both may be called twice.
    """

    @staticmethod
    def framed(data: bytes, /) -> bytes:
        """The bytes as this kind of sink writes them; a cohort calls it once for all its streams."""

    def write(self, frame: bytes, /) -> bool:
        """Take the whole frame and return True, or return False because the reader is behind."""

    def when_drained(self, resume: Callable[[], None], /) -> None:
        """Call ``resume`` once, as soon as a frame would be taken again; never from within this call."""

    def close(self, farewell: bytes, /) -> None:
        """Write a last frame and end the stream in good order."""

    def abort(self) -> None:
        """End the stream at once, without writing anything."""
