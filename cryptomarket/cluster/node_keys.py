"""The keys that the nodes of one cluster share, as far as the cluster uses them.

It must not know where the keys come from, nor how they are derived.
"""

from typing import Protocol

__all__ = ["NodeKeys"]


class NodeKeys(Protocol):
    """Signs and seals what nodes send to each other; each purpose has keys of its own."""

    def sign(self, purpose: str, data: bytes) -> bytes:
        """The MAC of the data, 32 bytes."""

    def verifies(self, purpose: str, data: bytes, mac: bytes) -> bool:
        """Whether a node made the MAC of the data for the purpose."""

    def seal(self, purpose: str, data: bytes) -> bytes:
        """The data, encrypted and authenticated for the purpose."""

    def open(self, purpose: str, sealed: bytes) -> bytes | None:
        """The data that a node sealed for the purpose; None for anything else."""
