"""How often a login may be tried: per address, and per key and address with a delay that grows with its failures.

The counters are in the cache, so that all nodes count together. Failures from one address do not lock out the owner
of the key, who comes from another.
"""

import hashlib
import time
from collections.abc import Callable

from ..backoff import doubled
from .cache import Cache

__all__ = ["LoginLimits", "failure_key"]

MINUTE = 60.0
#: Failures are counted for so long; the delay after the n-th is 2^n seconds up to this maximum.
COUNTED_SECONDS = 900.0
MAX_DELAY_SECONDS = 300.0


def failure_key(client_id: str, address: str) -> str:
    """Return what failures are counted under; neither the client id nor the address can be read from it."""
    return hashlib.sha256(f"{client_id}\n{address}".encode()).hexdigest()[:32]


class LoginLimits:
    """Returns how many seconds a login must wait, 0 for none. Raises CacheUnavailable."""

    def __init__(self, cache: Cache, *, per_minute: int, wall: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._per_minute = per_minute
        self._wall = wall

    async def count_login(self, address: str) -> float:
        """Count a login from the address; return the seconds to wait if the minute has too many."""
        minute, passed = divmod(self._wall(), MINUTE)
        name = f"deribit:limit:{hashlib.sha256(address.encode()).hexdigest()[:32]}:{int(minute)}"
        number = await self._cache.count(name, 2 * MINUTE)
        return MINUTE - passed if number > self._per_minute else 0.0

    async def delay(self, key: str) -> float:
        """Return the seconds left of the delay after the failures counted under ``key``."""
        (until,) = await self._cache.get(f"deribit:limit:{key}:until")
        return max(0.0, float(until) - self._wall()) if until else 0.0

    async def record_failure(self, key: str) -> None:
        """Double the delay under ``key``: the exchange did not accept the credentials."""
        number = await self._cache.count(f"deribit:limit:{key}:failed", COUNTED_SECONDS)
        delay = doubled(1.0, number, cap_seconds=MAX_DELAY_SECONDS)
        await self._cache.put(f"deribit:limit:{key}:until", f"{self._wall() + delay:.3f}".encode(), delay)
