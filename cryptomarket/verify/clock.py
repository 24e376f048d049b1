"""Time in a run, which tests make pass faster."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

__all__ = ["Clock"]


class Clock:
    """Seconds that pass ``scale`` times as fast as real ones, and the wall clock (UNIX seconds)."""

    def __init__(
        self,
        scale: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.scale = scale
        self.wall = wall
        self._monotonic = monotonic

    def now(self) -> float:
        """Seconds since some moment."""
        return self._monotonic() * self.scale

    @property
    def slack(self) -> float:
        """How much later than real something may come because it passes faster than this machine works, in seconds."""
        return 0.6 * self.scale if self.scale > 1 else 0.0

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds / self.scale)

    @contextmanager
    def within(self, seconds: float) -> Iterator[anyio.CancelScope]:
        """Leave the block after the seconds."""
        with anyio.move_on_after(max(seconds, 0) / self.scale) as scope:
            yield scope
