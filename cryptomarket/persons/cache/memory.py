"""The cache of a single process; it ends with the process."""

import time
from collections.abc import AsyncIterator, Callable, Mapping

__all__ = ["MemoryCache"]

#: Writes between two deletions of expired values.
SWEEP_EVERY = 1_000


class MemoryCache:
    """A Cache in a dictionary."""

    lasting = False

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

    def _store(self, name: str, value: bytes, expires: float) -> None:
        self._values[name] = value, expires
        self._writes += 1
        if self._writes % SWEEP_EVERY == 0:
            now = self._monotonic()
            self._values = {name: entry for name, entry in self._values.items() if entry[1] > now}

    async def get(self, *names: str) -> list[bytes | None]:
        """See Cache."""
        return [found[0] if (found := self._find(name)) else None for name in names]

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """See Cache."""
        self._store(name, value, self._monotonic() + seconds)

    async def take(self, name: str) -> bytes | None:
        """See Cache."""
        found = self._find(name)
        self._values.pop(name, None)
        return found[0] if found else None

    async def swap(self, name: str, old: bytes, new: bytes | None, seconds: float | None = None) -> bool:
        """See Cache."""
        found = self._find(name)
        if found is None or found[0] != old:
            return False
        if new is None:
            del self._values[name]
        else:
            self._values[name] = new, found[1] if seconds is None else self._monotonic() + seconds
        return True

    async def extend(self, seconds: Mapping[str, float]) -> None:
        """See Cache."""
        for name, life in seconds.items():
            if (found := self._find(name)) is not None:
                self._values[name] = found[0], self._monotonic() + life

    async def delete(self, *names: str) -> None:
        """See Cache."""
        for name in names:
            self._values.pop(name, None)

    async def count(self, name: str, seconds: float) -> int:
        """See Cache."""
        found = self._find(name)
        number = int(found[0]) + 1 if found else 1
        self._store(name, str(number).encode(), found[1] if found else self._monotonic() + seconds)
        return number

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """See Cache."""
        for name in list(self._values):
            if name.startswith(prefix) and self._find(name) is not None:
                yield name
