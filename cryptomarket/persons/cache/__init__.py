"""The cache of this room: byte values with a lifetime, in the process's memory or in Redis.

It does not know what the values mean.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

__all__ = ["Cache"]


class Cache(Protocol):
    """What both caches offer. Every method raises CacheUnavailable when the cache does not answer in time.

    ``lasting``: whether the values outlive the process.
    """

    @property
    def lasting(self) -> bool: ...

    async def get(self, *names: str) -> list[bytes | None]:
        """Return the values under the names, in their order."""

    async def put(self, name: str, value: bytes, seconds: float) -> None:
        """Store a value for some seconds."""

    async def take(self, name: str) -> bytes | None:
        """Delete the value and return it; of several concurrent callers only one receives it."""

    async def swap(self, name: str, old: bytes, new: bytes | None, seconds: float | None = None) -> bool:
        """Replace ``old`` by ``new`` (None: delete it) for some seconds (None: as long as ``old`` would have lived).

        Return False when the value is not ``old``.
        """

    async def extend(self, seconds: Mapping[str, float]) -> None:
        """Let the values under these names live for so many seconds from now on; an absent one stays absent."""

    async def delete(self, *names: str) -> None:
        """Delete the values."""

    async def count(self, name: str, seconds: float) -> int:
        """Return the number of calls for the name so far; it restarts ``seconds`` after the first call."""

    def names(self, prefix: str) -> AsyncIterator[str]:
        """Iterate over the names that start with the prefix; those added or deleted meanwhile may be missed."""
