"""The cache: values that end by themselves, in the memory of one process or in Redis. It understands none of them."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

__all__ = ["Cache", "MemoryCache"]

#: Writes between two sweeps for what has ended.
SWEEP_EVERY = 1_000


class Cache(Protocol):
    """What persons need of a cache. Every method raises CacheUnavailable when it does not answer in time."""

    async def get(self, *names: str) -> list[bytes | None]:
        """The values under the names, in their order."""

    async def put(self, name: str, value: bytes, seconds: float, *, only_over: bool = False) -> bool:
        """Keep a value for so long; with ``only_over`` only where one stands. Whether it was kept."""

    async def take(self, name: str) -> bytes | None:
        """The value, which is gone from now on: of several who take, one gets it."""

    async def swap(self, name: str, old: bytes, new: bytes | None) -> bool:
        """Put the new value (None: nothing) where the old one still stands, to end when that would have."""

    async def delete(self, *names: str) -> None:
        """Forget the values."""

    async def count(self, name: str, seconds: float) -> int:
        """How often this was called for the name within so many seconds of the first time."""

    def names(self, prefix: str) -> AsyncIterator[str]:
        """The names that begin so and have a value; those that come or go meanwhile may be missed."""

    async def aclose(self) -> None:
        """Let go of connections."""


class MemoryCache:
    """The cache of a single process; what is in it ends with the process."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._values: dict[str, tuple[bytes, float]] = {}
        self._writes = 0

    def __repr__(self) -> str:
        return f"<MemoryCache of {len(self._values)} values>"

    def _find(self, name: str) -> tuple[bytes, float] | None:
        found = self._values.get(name)
        if found is not None and found[1] <= self._monotonic():
            del self._values[name]
            return None
        return found

    def _keep(self, name: str, value: bytes, ends: float) -> None:
        self._values[name] = value, ends
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            now = self._monotonic()
            self._values = {name: held for name, held in self._values.items() if held[1] > now}

    async def get(self, *names: str) -> list[bytes | None]:
        """The values under the names, in their order."""
        return [found[0] if (found := self._find(name)) else None for name in names]

    async def put(self, name: str, value: bytes, seconds: float, *, only_over: bool = False) -> bool:
        """Keep a value for so long; with ``only_over`` only where one stands. Whether it was kept."""
        if only_over and self._find(name) is None:
            return False
        self._keep(name, value, self._monotonic() + seconds)
        return True

    async def take(self, name: str) -> bytes | None:
        """The value, which is gone from now on."""
        found = self._find(name)
        self._values.pop(name, None)
        return found[0] if found else None

    async def swap(self, name: str, old: bytes, new: bytes | None) -> bool:
        """Put the new value where the old one still stands, to end when that would have."""
        found = self._find(name)
        if found is None or found[0] != old:
            return False
        if new is None:
            del self._values[name]
        else:
            self._values[name] = new, found[1]
        return True

    async def delete(self, *names: str) -> None:
        """Forget the values."""
        for name in names:
            self._values.pop(name, None)

    async def count(self, name: str, seconds: float) -> int:
        """How often this was called for the name within so many seconds of the first time."""
        found = self._find(name)
        number = int(found[0]) + 1 if found else 1
        self._keep(name, str(number).encode(), found[1] if found else self._monotonic() + seconds)
        return number

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """The names that begin so and have a value."""
        for name in _beginning(list(self._values), prefix):
            if self._find(name) is not None:
                yield name

    async def aclose(self) -> None:
        """Nothing to let go of."""


def _beginning(names: Sequence[str], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]
