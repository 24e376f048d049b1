"""Slows logins down while many fail: failed logins must not spend the request budget that prices need."""

import time
from collections.abc import Callable

import anyio

__all__ = ["FailureThrottle"]

#: Failures in a row that delay nothing, and how many are forgotten a second.
BURST = 60.0
REFILL_PER_SECOND = 1.0


class FailureThrottle:
    """A token bucket from which each failure takes one; while it is empty, logins wait for its refill."""

    def __init__(
        self,
        *,
        burst: float = BURST,
        refill_per_second: float = REFILL_PER_SECOND,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = self._left = burst
        self._refill_per_second = refill_per_second
        self._monotonic = monotonic
        self._refilled = monotonic()

    def _refill(self) -> None:
        now = self._monotonic()
        self._left = min(self._burst, self._left + (now - self._refilled) * self._refill_per_second)
        self._refilled = now

    async def wait(self) -> None:
        """Return when a login may be tried; this takes nothing from the bucket."""
        self._refill()
        while self._left < 1.0:
            await anyio.sleep((1.0 - self._left) / self._refill_per_second)
            self._refill()

    def record_failure(self) -> None:
        """Take one from the bucket."""
        self._refill()
        self._left -= 1.0
