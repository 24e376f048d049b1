"""How often somebody may try to log in: per address, and per key and address with a delay that grows.

Counted in the cache, so that all nodes count together. A stranger's failures with a key do not lock out its owner,
who comes from another address.
"""

import hashlib
import time
from collections.abc import Callable

from ..backoff import doubled
from .cache import Cache

__all__ = ["Limits", "counted"]

MINUTE = 60.0
#: Failures are remembered so long, and the wait after the n-th is 2^n seconds, at most this.
REMEMBERED_SECONDS = 900.0
LONGEST_WAIT_SECONDS = 300.0


def counted(client_id: str, address: str) -> str:
    """What failures are counted by; it says neither key nor address."""
    return hashlib.sha256(f"{client_id}\n{address}".encode()).hexdigest()[:32]


class Limits:
    """Says how many seconds a log-in has to wait, 0 for none."""

    def __init__(self, cache: Cache, *, per_minute: int, wall: Callable[[], float] = time.time) -> None:
        self._cache = cache
        self._per_minute = per_minute
        self._wall = wall

    async def of_address(self, address: str) -> float:
        """Count a log-in from the address; the seconds to wait when there were too many within a minute."""
        minute, passed = divmod(self._wall(), MINUTE)
        name = f"deribit:limit:{hashlib.sha256(address.encode()).hexdigest()[:32]}:{int(minute)}"
        number = await self._cache.count(name, 2 * MINUTE)
        return MINUTE - passed if number > self._per_minute else 0.0

    async def of_key(self, who: str) -> float:
        """The seconds to wait after the failures so far."""
        (until,) = await self._cache.get(f"deribit:limit:{who}:until")
        return max(0.0, float(until) - self._wall()) if until else 0.0

    async def failed(self, who: str) -> None:
        """The exchange did not accept the key: the next try has to wait twice as long as this one had."""
        number = await self._cache.count(f"deribit:limit:{who}:failed", REMEMBERED_SECONDS)
        wait = doubled(1.0, number, cap_seconds=LONGEST_WAIT_SECONDS)
        await self._cache.put(f"deribit:limit:{who}:until", f"{self._wall() + wait:.3f}".encode(), wait)
