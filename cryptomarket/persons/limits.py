"""How often logins may be tried, and what failed ones cost: the address that made them, never another.

The counters are in the cache, so that all nodes count together and a new leader knows them. Their names are keyed
hashes: who reads the cache can neither compute nor guess client ids and addresses from them.
"""

import time
from collections.abc import Callable, Iterable, Mapping

from ..addresses import MULTIPLES, address_groups
from ..backoff import doubled
from .cache import Cache

__all__ = ["LoginLimits"]

MINUTE = 60.0
#: Failures count for so long, at full weight or less.
COUNTED_SECONDS = 900.0
#: The delay of a key after its n-th failure from an address is 2^n seconds, up to this maximum.
MAX_DELAY_SECONDS = 300.0
#: Each recent failure takes so many logins a minute from its address, which keeps the least number.
LOST_PER_FAILURE, LEAST_PER_MINUTE = 2, 2
#: Further logins of one person within `COUNTED_SECONDS` count as failures of their address: each costs the exchange's
#: budget as much as two wrong ones.
MOST_LOGINS_OF_PERSON = 10
#: Groups that have used up their minute are remembered here, so that the cache is not asked again; at most so many.
MOST_FULL = 10_000


class LoginLimits:
    """Counts logins and failures; ``sign`` returns the MAC of data under a key for a purpose. Raises CacheUnavailable.

    An address may try ``per_minute`` logins a minute, a wider group of addresses `WIDER` times as many.
    """

    def __init__(
        self,
        cache: Cache,
        sign: Callable[[str, bytes], bytes],
        *,
        per_minute: int,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._sign = sign
        self._per_minute = per_minute
        self._wall = wall
        self._minute, self._full = 0.0, set[str]()

    def client(self, client_id: str) -> str:
        """Return what counters and log lines name a client id by."""
        return self._hash("client", client_id)

    def _hash(self, kind: str, text: str) -> str:
        return self._sign("login limits", f"{kind} {text}".encode()).hex()[:24]

    async def count_login(self, address: str) -> float:
        """Count a login from the address; return 0, or the seconds to wait if the minute has too many."""
        minute, passed = divmod(self._wall(), MINUTE)
        groups, wait = address_groups(address), MINUTE - passed
        if minute != self._minute:
            self._minute, self._full = minute, set()
        if not self._full.isdisjoint(groups):
            return wait
        failures = await self.failures(groups)
        for group, multiple in zip(groups, MULTIPLES, strict=False):
            name = f"deribit:limit:{self._hash('address', group)}:{int(minute)}"
            if await self._cache.count(name, 2 * MINUTE) > self._allowed(failures[group], multiple):
                if len(self._full) < MOST_FULL:
                    self._full.add(group)
                return wait
        return 0.0

    def _allowed(self, failures: int, multiple: int) -> float:
        least = min(LEAST_PER_MINUTE, self._per_minute)
        return multiple * max(least, self._per_minute - LOST_PER_FAILURE * failures / multiple)

    async def failures(self, groups: Iterable[str]) -> Mapping[str, int]:
        """Return the recent failures of each group: those of this window and, by and by less, of the one before."""
        window, passed = divmod(self._wall(), COUNTED_SECONDS)
        found = list(dict.fromkeys(groups))
        names = [self._failures_name(group, one) for one in (window, window - 1) for group in found]
        counts = [int(count or 0) for count in await self._cache.get(*names)]
        left = 1 - passed / COUNTED_SECONDS
        pairs = zip(counts[: len(found)], counts[len(found) :], strict=True)
        return {group: round(new + old * left) for group, (new, old) in zip(found, pairs, strict=True)}

    def _failures_name(self, group: str, window: float) -> str:
        return f"deribit:limit:{self._hash('address', group)}:failed:{int(window)}"

    async def delay(self, client: str, address: str) -> float:
        """Return the seconds left of the delay after failures of the client from the address."""
        (until,) = await self._cache.get(f"deribit:limit:{self._pair(client, address)}:until")
        return max(0.0, float(until) - self._wall()) if until else 0.0

    async def record_wrong_key(self, client: str, address: str) -> None:
        """Double the delay of the client at the address, and charge the address: the credentials were wrong."""
        pair = self._pair(client, address)
        number = await self._cache.count(f"deribit:limit:{pair}:failed", COUNTED_SECONDS)
        delay = doubled(1.0, number, cap_seconds=MAX_DELAY_SECONDS)
        await self._cache.put(f"deribit:limit:{pair}:until", f"{self._wall() + delay:.3f}".encode(), delay)
        await self.charge(address)

    def _pair(self, client: str, address: str) -> str:
        return self._hash("pair", f"{client} {address_groups(address)[0]}")

    async def charge(self, address: str) -> None:
        """Count a failure of the address: the exchange was asked in vain."""
        window = self._wall() // COUNTED_SECONDS
        for group in address_groups(address):
            await self._cache.count(self._failures_name(group, window), 2 * COUNTED_SECONDS)

    async def record_login(self, person_id: str, address: str) -> None:
        """Count a login of the person; charge the address if there were many, from whatever addresses."""
        name = f"deribit:limit:{self._hash('person', person_id)}:logins"
        if await self._cache.count(name, COUNTED_SECONDS) > MOST_LOGINS_OF_PERSON:
            await self.charge(address)
