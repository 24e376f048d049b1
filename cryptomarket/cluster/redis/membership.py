"""The other nodes: who is there, and which tickers their streams ask for.

Only the leader hears everybody: were each to hear each, a thousand nodes would say a million things a second. It reads
the roll now and then, so that the others know as well.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from .codec import Batch

__all__ = ["GONE_SECONDS", "Membership"]

#: A node that was silent for so long is not there, and wants nothing any more.
GONE_SECONDS = 10.0
#: How often the roll is read when nobody came or went.
ROLL_SECONDS = 5.0


@dataclass(slots=True)
class _Peer:
    heard: float
    wanted: tuple[str, ...]


class Membership:
    """The other nodes as ``node`` knows them."""

    def __init__(self, node: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._monotonic = monotonic
        self._peers: dict[str, _Peer] = {}
        self._roll: tuple[str, ...] = ()
        self._told: list[str] = []
        self._next_roll = 0.0

    def __repr__(self) -> str:
        return f"<Peers of {self._node}: {len(self._peers)}>"

    def hear(self, batch: Batch) -> None:
        """A node spoke: it is there, and wants this; a leader may have read the roll."""
        self._peers[batch.node] = _Peer(self._monotonic(), batch.wanted)
        self._roll = batch.nodes or self._roll

    def lead(self) -> None:
        """From now on this node hears everybody itself."""
        self._roll, self._next_roll = (), 0.0

    def names(self) -> list[str]:
        """Every node that is there, this one included."""
        return sorted({self._node, *self._roll, *self._here()})

    def wanted(self) -> frozenset[str]:
        """The tickers that streams of other nodes ask for."""
        return frozenset().union(*(peer.wanted for peer in self._here().values()))

    def roll(self) -> tuple[str, ...]:
        """What the leader tells of who is there; nothing when it was told of late."""
        names, now = self.names(), self._monotonic()
        if names == self._told and now < self._next_roll:
            return ()
        self._told, self._next_roll = names, now + ROLL_SECONDS
        return tuple(names)

    def _here(self) -> dict[str, _Peer]:
        now = self._monotonic()
        for name in [name for name, peer in self._peers.items() if now - peer.heard >= GONE_SECONDS]:
            del self._peers[name]
        return self._peers
