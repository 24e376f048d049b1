"""Which nodes are present, and which of the tickers that their streams want are followed. Pure.

Only the leader receives from every node: if each received from each, a thousand nodes would exchange a million messages
a second. The leader announces the names now and then, so that every node knows them.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from ..cluster import WantedTickers
from .codec import Batch

__all__ = ["ABSENT_SECONDS", "ANNOUNCE_SECONDS", "MAX_WANTED", "Membership"]

#: A node that was silent for so long is absent and wants nothing.
ABSENT_SECONDS = 10.0
#: How often the names are announced, and the wanted tickers stored, when nothing changed.
ANNOUNCE_SECONDS = 5.0
#: Tickers of all nodes that are followed beside the configured ones, unless set otherwise.
MAX_WANTED = 200
#: A node that works never wants more.
MOST_OF_A_NODE = 10_000


@dataclass(slots=True)
class _Member:
    seen: float
    wanted: Mapping[str, int]


def _ignore(_: Iterable[str]) -> None:
    """Do nothing."""


class Membership:
    """The nodes as ``node`` knows them, including itself.

    When they want more than ``max_wanted`` tickers, those of the lowest ranks are followed: the first one of every
    address before the second one of any, so that neither a node nor an address can take all the room. ``refused`` is
    called with the others.
    """

    def __init__(
        self,
        node: str,
        *,
        max_wanted: int = MAX_WANTED,
        refused: Callable[[Iterable[str]], None] = _ignore,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._node = node
        self._max_wanted = max_wanted
        self._on_refused = refused
        self._monotonic = monotonic
        #: The tickers that streams of this node want, with their ranks.
        self.own: Mapping[str, int] = {}
        #: The tickers that were reported as refused.
        self._refused: set[str] = set()
        self._others: dict[str, _Member] = {}
        self._received: tuple[str, ...] = ()
        self._announced: tuple[str, ...] = ()
        self._next_announcement = 0.0
        self._wanted = WantedTickers()
        self._stored: frozenset[str] | None = None
        self._next_store = 0.0

    def __repr__(self) -> str:
        return f"<Membership of {self._node}: {len(self._others)} others>"

    def want(self, ranks: Mapping[str, int]) -> None:
        """Replace the tickers that streams of this node want."""
        self._refused -= ranks.keys() - self.own.keys()  # its new streams were not told
        self.own = ranks
        self.refresh()

    def observe(self, batch: Batch) -> None:
        """Record what a batch shows: its node is present and wants these tickers; a leader may announce all names."""
        before = self._others.get(batch.node)
        wanted = dict(islice(batch.wanted.items(), MOST_OF_A_NODE))
        self._refused -= wanted.keys() - (before.wanted.keys() if before else ())
        self._others[batch.node] = _Member(self._monotonic(), wanted)
        self._received = batch.nodes or self._received
        self.refresh()

    def lead(self) -> None:
        """Forget the names that another leader announced: this node receives from all nodes itself."""
        self._received, self._next_announcement, self._stored = (), 0.0, None
        self._refused.clear()

    def names(self) -> tuple[str, ...]:
        """The names of all nodes present, including this one, in order."""
        return tuple(sorted({self._node, *self._received, *self._present()}))

    def demand(self) -> AsyncIterator[frozenset[str]]:
        """The followed tickers as of the last `refresh`, now and after every change."""
        return self._wanted.changes()

    def refresh(self) -> None:
        """Decide which tickers are followed, without those of nodes that are absent."""
        ranks = dict(self.own)
        for member in self._present().values():
            for ticker, rank in member.wanted.items():
                ranks[ticker] = min(rank, ranks.get(ticker, rank))
        refused: set[str] = set()
        if len(ranks) > self._max_wanted:
            followed = self._wanted.tickers
            order = sorted(ranks, key=lambda ticker: (ranks[ticker], ticker not in followed, ticker))
            refused.update(order[self._max_wanted :])
        self._wanted.set(frozenset(ranks.keys() - refused))
        new, self._refused = refused - self._refused, refused
        if new:
            self._on_refused(sorted(new))

    def wanted_to_store(self) -> frozenset[str] | None:
        """The followed tickers; None when they are unchanged and were stored recently."""
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
