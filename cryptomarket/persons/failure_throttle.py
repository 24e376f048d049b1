"""Patience with failures: log-ins that fail may spend only so much of the budget that prices live on."""

import time
from collections.abc import Callable

import anyio

__all__ = ["FailureThrottle"]

#: Failures in a row that nobody waits for, and how many a second are forgiven.
BURST = 60.0
FORGIVEN_PER_SECOND = 1.0


class FailureThrottle:
    """A bucket of failures: while it is empty, each log-in waits until one is forgiven."""

    def __init__(
        self,
        *,
        burst: float = BURST,
        forgiven_per_second: float = FORGIVEN_PER_SECOND,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = self._left = burst
        self._forgiven = forgiven_per_second
        self._monotonic = monotonic
        self._filled = monotonic()

    def _fill(self) -> None:
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._filled) * self._forgiven)
        self._filled = now

    async def wait(self) -> None:
        """Return when a log-in may be tried; it costs nothing unless it fails."""
        self._fill()
        while self._left < 1.0:
            await anyio.sleep((1.0 - self._left) / self._forgiven)
            self._fill()

    def failed(self) -> None:
        """One more failed."""
        self._fill()
        self._left -= 1.0
