"""The exchange's clock, measured from the times in its answers: signatures are valid for a minute by that clock.

It knows no socket; the clocks of this machine come from its caller.
"""

import math
import time
from collections.abc import Callable

__all__ = ["UpstreamClock"]

#: An error of this machine's clock that is not reported: a delayed answer looks the same.
TOLERATED_SECONDS = 5.0
#: A measurement loses so much of its exactness in each second, so that a newer one replaces it at last.
AGEING = 0.001


class UpstreamClock:
    """The time by the exchange's clock; that of this machine until an answer was measured.

    It advances with the monotonic clock, so setting the clock of this machine does not disturb it.
    """

    def __init__(
        self, *, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead: float | None = None  # of the monotonic clock
        self._inexact = math.inf
        self._measured = 0.0

    def __repr__(self) -> str:
        return f"<UpstreamClock {self.behind_seconds:+.3f} s>"

    def answered(self, us_out: int, sent: float, received: float) -> None:
        """An answer told the exchange's time (UNIX us); its request was sent and it arrived at these monotonic times.

        Exact to half the round trip; of two answers the more exact one counts.
        """
        inexact = (received - sent) / 2
        if inexact <= self._inexact + AGEING * (received - self._measured):
            self._ahead = us_out / 1e6 - (sent + received) / 2
            self._inexact, self._measured = inexact, received

    def connection_opened(self) -> None:
        """The next answer counts however late it is: the monotonic clock stands still while a machine sleeps."""
        self._inexact = math.inf

    def now(self) -> float:
        """The time by the exchange's clock, in UNIX seconds."""
        return self._wall() if self._ahead is None else self._monotonic() + self._ahead

    @property
    def behind_seconds(self) -> float:
        """How far the clock of this machine is behind the exchange's; below zero when it is ahead."""
        return self.now() - self._wall()

    @property
    def problem(self) -> str:
        """A sentence about an error of this machine's clock that operators should mend; empty for none."""
        behind = self.behind_seconds
        if abs(behind) <= TOLERATED_SECONDS:
            return ""
        side = "behind" if behind > 0 else "ahead of"
        return f"the clock of this machine is {abs(behind):.0f} s {side} the exchange's"
