"""The turns of requests and of connections, so that a run stays within the limits of the exchange."""

from ..deribit.rate_limit import AttemptLimiter, Group, RateLimiter
from .clock import Clock

__all__ = ["Budget"]


class Budget:
    """One budget for all connections of a run: they share one address, and with a key one account."""

    def __init__(self, clock: Clock, connections_a_minute: int) -> None:
        self._clock = clock
        self._requests = RateLimiter()
        self._attempts = AttemptLimiter(max_attempts=connections_a_minute)
        # The limits without a log-in are not published, so it begins without credits and at half the pace.
        self._requests.slow_down(clock.now())

    async def turn(self, group: Group) -> None:
        """Wait until a request of the group may go, and count it."""
        while pause := self._requests.wait(group, self._clock.now()):
            await self._clock.sleep(pause)
        self._requests.take(group, self._clock.now())

    async def attempt(self) -> None:
        """Wait until a connection may be opened, and count it."""
        while pause := self._attempts.wait(self._clock.now()):
            await self._clock.sleep(pause)
        self._attempts.record(self._clock.now())
