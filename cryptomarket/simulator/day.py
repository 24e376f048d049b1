"""The shape of a real day: what happens to the platform at which hour, by the clock of the exchange."""

from collections.abc import Iterator

from .catalogue import DAY_MS

__all__ = ["DAY", "Day"]

_MINUTE = 60_000
_HOUR = 60 * _MINUTE

#: Moments of a day (ms after midnight UTC) with a fault of the table of faults and its argument. Each thing that begins
#: ends. At 08:00 the instruments of the day expire and others are listed, which the market does by itself.
DAY = (
    (5 * _HOUR, "lock", "sol_usdc"),
    (5 * _HOUR + 10 * _MINUTE, "lock", "-sol_usdc"),
    (8 * _HOUR, "settle", ""),
    (8 * _HOUR + 10_000, "settle", "off"),
    (14 * _HOUR, "maintenance", ""),
    (14 * _HOUR + 5 * _MINUTE, "maintenance", "off"),
)


class Day:
    """Tells which of the happenings of ``DAY`` became due."""

    def __init__(self, now_ms: int) -> None:
        self._told_ms = now_ms

    def due(self, now_ms: int) -> Iterator[tuple[str, str]]:
        """Yields fault and argument of each happening since the last call, in their order."""
        midnight = self._told_ms - self._told_ms % DAY_MS
        while midnight <= now_ms:
            for after, fault, argument in DAY:
                if self._told_ms < midnight + after <= now_ms:
                    yield fault, argument
            midnight += DAY_MS
        self._told_ms = max(self._told_ms, now_ms)
