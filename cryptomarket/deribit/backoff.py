"""How long to wait before the next attempt: exponential, with full jitter, and never a storm.

It knows no clock and no socket; the supervisor asks for a delay and resets by making a new generator.
"""

import random as random_module
from collections import deque
from collections.abc import Callable, Iterator

__all__ = ["Attempts", "delays"]


def delays(
    *,
    first_seconds: float = 0.25,
    factor: float = 2.0,
    cap_seconds: float = 30.0,
    random: Callable[[], float] = random_module.random,
) -> Iterator[float]:
    """Seconds to wait before each next attempt, without end: uniform between nothing and a doubling limit.

    Full jitter, so that a fleet that lost the exchange together does not return together.
    """
    limit = first_seconds
    while True:
        yield random() * limit
        limit = min(limit * factor, cap_seconds)


class Attempts:
    """Bounds the connection attempts of any minute, however often the exchange accepts and then drops us.

    Deribit bans addresses that storm it; a delay that data resets would not stop a link that flaps.
    """

    def __init__(self, *, most: int = 30, window_seconds: float = 60.0) -> None:
        self.window_seconds = window_seconds
        self._times: deque[float] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._times)

    def pause(self, now: float) -> float:
        """Seconds until the next attempt is allowed, 0 when it is."""
        if len(self._times) < (self._times.maxlen or 1):
            return 0.0
        return max(0.0, self._times[0] + self.window_seconds - now)

    def made(self, now: float) -> None:
        """An attempt was made."""
        self._times.append(now)
