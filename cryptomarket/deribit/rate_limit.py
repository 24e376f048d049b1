"""The budget of requests and of connection attempts: how long each must wait.

The limits are those of `statements`. Exceeding one ends the connection (10028), so requests wait and are never dropped.
One budget serves one address and outlives connections. The time comes from the caller.
"""

from collections import deque
from enum import Enum, IntEnum

from ..statements.limits import CREDITS_INSTRUMENTS, CREDITS_OTHER, CREDITS_SUBSCRIBE, CREDITS_TRANSACTIONS

__all__ = ["AttemptLimiter", "Group", "Priority", "RateLimiter", "group_of"]


class Group(Enum):
    """The methods that share one bucket of credits."""

    NON_MATCHING = CREDITS_OTHER.value
    SUBSCRIBE = CREDITS_SUBSCRIBE.value
    INSTRUMENTS = CREDITS_INSTRUMENTS.value
    TRANSACTION_LOG = CREDITS_TRANSACTIONS.value


_GROUPS = {method: group for group in Group for method in group.value.methods}


def group_of(method: str) -> Group:
    """The bucket of the method."""
    return _GROUPS.get(method, Group.NON_MATCHING)


class Priority(IntEnum):
    """The order of waiting requests, the most urgent first."""

    HEARTBEAT = 0
    LOGIN = 1
    SUBSCRIBE = 2
    PERSON = 3
    NEWCOMER = 4  # a person's login: calls of persons who are logged in go first
    BACKFILL = 5


class RateLimiter:
    """A bucket of credits for each group, under an outer cap of requests within any second.

    The last request of each second and the credits of one call are reserved for heartbeats. A door may allow fewer
    ``instrument_lists_at_once`` than the statement. ``time_scale`` speeds up the clock to match a simulator.
    """

    def __init__(
        self,
        *,
        max_per_second: int = 15,
        concurrent: int = 32,
        recovery_seconds: float = 60.0,
        instrument_lists_at_once: int | None = None,
        time_scale: float = 1.0,
    ) -> None:
        self.max_per_second = max_per_second
        self.recovery_seconds = recovery_seconds / time_scale
        self.window_seconds = 1.0 / time_scale
        self._time_scale = time_scale
        self._max_concurrent = concurrent
        self._concurrent = float(concurrent)
        self._pace = 1.0
        self._slowed_at: float | None = None
        self._resumes_at = float("-inf")
        #: Requests over HTTP that wait for their turn; log-ins leave some of each second to them.
        self.http_waiting = 0
        self._sent: deque[float] = deque(maxlen=max_per_second)
        self._bursts = {group: float(group.value.burst) for group in Group}
        if instrument_lists_at_once is not None:
            self._bursts[Group.INSTRUMENTS] = float(Group.INSTRUMENTS.value.cost * instrument_lists_at_once)
        self._levels = dict(self._bursts)
        self._filled: dict[Group, float] = {}

    def __repr__(self) -> str:
        return f"<RateLimiter at {self._pace:.0%} of its pace>"

    @property
    def concurrent(self) -> int:
        """The most requests that may wait for their answers at once."""
        return int(self._concurrent)

    def wait(self, group: Group, now: float, *, urgent: bool = False, spared: int = 0) -> float:
        """Seconds until a request of the group may go, 0 when it may go now.

        ``spared`` requests of each second are left to others, so that a crowd of unhurried ones delays nobody.
        """
        self._recover(now)
        told = 0.0 if urgent else max(0.0, self._resumes_at - now)
        wait = max(told, self._wait_for_cap(now, urgent, spared), self._wait_for_credits(group, now, urgent))
        return max(wait, 1e-6) if wait else 0.0  # less would not move a clock of floats

    def take(self, group: Group, now: float) -> None:
        """Count a request that is sent now; an urgent one may go into debt, for which later ones wait."""
        self._fill(group, now)
        self._levels[group] -= group.value.cost
        self._sent.append(now)

    def slow_down(self, now: float, retry_after: float = 0.0) -> None:
        """The exchange answered too_many_requests (10028): halve the pace; each minute without one doubles it again.

        Nothing but heartbeats goes for ``retry_after`` seconds, which the answer may ask for.
        """
        self._resumes_at = max(self._resumes_at, now + retry_after)
        self._pace = max(self._pace / 2, 0.125)
        self._slowed_at = now
        for group in Group:
            self._fill(group, now)
            self._levels[group] = min(self._levels[group], 0.0)

    def limit_concurrency(self, now: float) -> None:
        """The exchange answered too_many_concurrent_requests (10066): allow half as many."""
        self._concurrent = max(self._concurrent / 2, 1.0)
        self._slowed_at = now

    def _recover(self, now: float) -> None:
        while self._slowed_at is not None and now - self._slowed_at >= self.recovery_seconds:
            self._pace = min(self._pace * 2, 1.0)
            self._concurrent = min(self._concurrent * 2, float(self._max_concurrent))
            recovered = self._pace == 1.0 and self._concurrent == self._max_concurrent
            self._slowed_at = None if recovered else self._slowed_at + self.recovery_seconds

    def _wait_for_cap(self, now: float, urgent: bool, spared: int) -> float:
        allowed = max(1, int(self.max_per_second * self._pace))
        if not urgent:
            allowed = max(1, allowed - 1 - spared)
        if len(self._sent) < allowed:
            return 0.0
        return max(0.0, self._sent[-allowed] + self.window_seconds - now)

    def _wait_for_credits(self, group: Group, now: float, urgent: bool) -> float:
        if urgent:
            return 0.0
        self._fill(group, now)
        kept = Group.NON_MATCHING.value.cost if group is Group.NON_MATCHING else 0
        lacking = group.value.cost + kept - self._levels[group]
        return max(0.0, lacking / self._refill(group))

    def _refill(self, group: Group) -> float:
        return group.value.refill * self._time_scale * self._pace

    def _fill(self, group: Group, now: float) -> None:
        gained = (now - self._filled.get(group, now)) * self._refill(group)
        self._levels[group] = min(self._levels[group] + max(gained, 0.0), self._bursts[group])
        self._filled[group] = now


class AttemptLimiter:
    """Bounds the connection attempts within any minute, however often the exchange accepts and then drops us.

    Deribit bans addresses that connect too often; a delay that data resets would not stop a connection that flaps.
    """

    def __init__(self, *, max_attempts: int = 30, window_seconds: float = 60.0) -> None:
        self.window_seconds = window_seconds
        self._times: deque[float] = deque(maxlen=max_attempts)

    def __len__(self) -> int:
        return len(self._times)

    def wait(self, now: float) -> float:
        """Seconds until the next attempt is allowed, 0 when it is."""
        if len(self._times) < (self._times.maxlen or 1):
            return 0.0
        return max(0.0, self._times[0] + self.window_seconds - now)

    def record(self, now: float) -> None:
        """Count an attempt that is made now."""
        self._times.append(now)
