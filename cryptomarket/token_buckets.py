"""Token buckets, one for each client: how much each may still ask for. Pure; the time comes from the caller.

https://en.wikipedia.org/wiki/Token_bucket
"""

from collections.abc import Sequence

__all__ = ["WIDER", "TokenBuckets"]

#: A wider group of addresses may ask for so many times what the narrowest may.
WIDER = 4.0


class TokenBuckets:
    """Buckets that hold ``burst`` tokens and receive ``rate`` tokens a second.

    A client is one or more groups, as `address_groups` returns them: the first has one bucket, each further one a
    bucket that is `WIDER` times as large. At most ``most`` buckets are remembered; the one unused for longest is
    forgotten first.
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
        wait = 0.0
        for place, group in enumerate(groups):
            needed = min(cost / self._scale(place), self._burst)
            wait = max(wait, (needed - self._level(group, now)) / self._rate)
        if wait > 0.0:
            return wait
        self.charge(groups, cost, now)
        return 0.0

    def charge(self, groups: Sequence[str], cost: float, now: float) -> None:
        """Take ``cost`` tokens for what was done already; the buckets may then hold less than nothing."""
        for place, group in enumerate(groups):
            level = self._level(group, now) - cost / self._scale(place)
            self._levels.pop(group, None)
            self._levels[group] = level, now
        while len(self._levels) > self._most:
            del self._levels[next(iter(self._levels))]

    def _level(self, group: str, now: float) -> float:
        level, since = self._levels.get(group, (self._burst, now))
        return min(self._burst, level + (now - since) * self._rate)

    @staticmethod
    def _scale(place: int) -> float:
        return WIDER if place else 1.0
