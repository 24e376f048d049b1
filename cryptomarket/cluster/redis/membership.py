"""Which nodes are present, and which tickers their streams want. Pure.

Only the leader receives from every node: if each received from each, a thousand nodes would exchange a million messages
a second. The leader announces the names now and then, so that every node knows them.
"""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from ..cluster import WantedTickers
from .codec import Batch

__all__ = ["ABSENT_SECONDS", "ANNOUNCE_SECONDS", "Membership"]

#: A node that was silent for so long is absent and wants nothing.
ABSENT_SECONDS = 10.0
#: How often the names are announced, and the wanted tickers stored, when nothing changed.
ANNOUNCE_SECONDS = 5.0


@dataclass(slots=True)
class _Member:
    seen: float
    wanted: tuple[str, ...]


class Membership:
    """The nodes as ``node`` knows them, including itself."""

    def __init__(self, node: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._node = node
        self._monotonic = monotonic
        #: The tickers that streams of this node want.
        self.own: frozenset[str] = frozenset()
        self._others: dict[str, _Member] = {}
        self._received: tuple[str, ...] = ()
        self._announced: tuple[str, ...] = ()
        self._next_announcement = 0.0
        self._wanted = WantedTickers()
        self._stored: frozenset[str] | None = None
        self._next_store = 0.0

    def __repr__(self) -> str:
        return f"<Membership of {self._node}: {len(self._others)} others>"

    def follow(self, added: frozenset[str], released: frozenset[str]) -> None:
        """Change the tickers that streams of this node want."""
        self.own = (self.own | added) - released
        self.refresh()

    def observe(self, batch: Batch) -> None:
        """Record what a batch shows: its node is present and wants these tickers; a leader may announce all names."""
        self._others[batch.node] = _Member(self._monotonic(), batch.wanted)
        self._received = batch.nodes or self._received
        self.refresh()

    def lead(self) -> None:
        """Forget the names that another leader announced: this node receives from all nodes itself."""
        self._received, self._next_announcement, self._stored = (), 0.0, None

    def names(self) -> tuple[str, ...]:
        """The names of all nodes present, including this one, in order."""
        return tuple(sorted({self._node, *self._received, *self._present()}))

    def demand(self) -> AsyncIterator[frozenset[str]]:
        """The tickers that streams of all nodes wanted at the last `refresh`, now and after every change."""
        return self._wanted.changes()

    def refresh(self) -> None:
        """Leave out the tickers of nodes that are absent."""
        self._wanted.set(self.own.union(*(member.wanted for member in self._present().values())))

    def wanted_to_store(self) -> frozenset[str] | None:
        """The wanted tickers; None when they are unchanged and were stored recently."""
        wanted, now = self._wanted.tickers, self._monotonic()
        if wanted == self._stored and now < self._next_store:
            return None
        self._stored, self._next_store = wanted, now + ANNOUNCE_SECONDS
        return wanted

    def announcement(self) -> tuple[str, ...]:
        """The names to publish with a batch; empty when they are unchanged and were announced recently."""
        names, now = self.names(), self._monotonic()
        if names == self._announced and now < self._next_announcement:
            return ()
        self._announced, self._next_announcement = names, now + ANNOUNCE_SECONDS
        return names

    def _present(self) -> dict[str, _Member]:
        now = self._monotonic()
        for name in [name for name, member in self._others.items() if now - member.seen >= ABSENT_SECONDS]:
            del self._others[name]
        return self._others
