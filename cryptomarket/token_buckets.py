"""Token buckets, one for each client: how much each may still ask for. Pure; the time comes from the caller.

https://en.wikipedia.org/wiki/Token_bucket
"""

from collections.abc import Sequence

from .addresses import MULTIPLES

__all__ = ["TokenBuckets"]


class TokenBuckets:
    """Buckets that hold ``burst`` tokens and receive ``rate`` tokens a second.

    A client is one or more groups, as `address_groups` returns them: each has a bucket, that of a wider group
    `WIDER` times as large. At most ``most`` buckets are remembered; the one unused for longest is forgotten first.
    """

    def __init__(self, rate: float, burst: float, *, most: int = 65_536) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        #: The level of each bucket, in tokens of a narrow one, and when it was computed.
        self._levels: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._levels)

    def take(self, groups: Sequence[str], cost: float, now: float) -> float:
        """Take ``cost`` tokens from the buckets of all groups and return 0.0; or take none and return the wait.

        The wait is in seconds, after which the same call would succeed if nothing else were taken. A cost above the
        burst needs a full bucket.
        """
        wait, levels = 0.0, self._current(groups, now)
        for level, multiple in zip(levels, MULTIPLES, strict=False):
            needed = min(cost / multiple, self._burst)
            if level < needed:
                wait = max(wait, (needed - level) / self._rate)
        if wait == 0.0:
            self._lower(groups, levels, cost, now)
        return wait

    def charge(self, groups: Sequence[str], cost: float, now: float) -> None:
        """Take ``cost`` tokens for what was done already; the buckets may then hold less than nothing."""
        self._lower(groups, self._current(groups, now), cost, now)

    def _current(self, groups: Sequence[str], now: float) -> list[float]:
        levels = []
        for group in groups:
            level, since = self._levels.get(group, (self._burst, now))
            levels.append(min(self._burst, level + (now - since) * self._rate))
        return levels

    def _lower(self, groups: Sequence[str], levels: Sequence[float], cost: float, now: float) -> None:
        for group, level, multiple in zip(groups, levels, MULTIPLES, strict=False):
            self._levels.pop(group, None)  # to the end of the order of use
            self._levels[group] = level - cost / multiple, now
        while len(self._levels) > self._most:
            del self._levels[next(iter(self._levels))]
