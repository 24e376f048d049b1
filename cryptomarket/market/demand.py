"""Which tickers this node follows beside the configured ones, because its streams want them, and who is charged.

Each followed ticker is charged to one address that wants it, and the number charged to an address is bounded. So no
address can use up the room that all have together. The only grace period of the program is here: a ticker is released
some time after its last stream has left, so that a page that reloads costs no new subscription. It knows no stream and
no socket; the time comes from its caller.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice

from ..addresses import AddressCounts

__all__ = ["ADDRESS_FULL", "ALL_FULL", "GRACE_SECONDS", "NOBODY", "Demand"]

#: Longer than a reload, a lost connection and the pause before the browser reconnects (1 to 5 s) together.
GRACE_SECONDS = 30.0
#: Why a ticker is not followed: as many as allowed are, for all together or for the address.
ALL_FULL, ADDRESS_FULL = "max_tickers", "max_tickers_per_address"
#: The rank of a ticker that nobody is charged for.
NOBODY = 1_000_000
#: Bounds of one search for an address that can be charged: of waiting tickers, and of the addresses that want each.
SEARCHED_TICKERS, SEARCHED_ADDRESSES = 50, 16

#: An address as `address_groups` returns it; empty for a stream without one, which no limit applies to.
Groups = tuple[str, ...]


class Demand:
    """Counts the streams that want each ticker, and notifies its subscribers of the tickers added and released.

    A ticker that does not fit is not followed. It is, as soon as there is room, while a stream still wants it. A stream
    receives a ticker that is followed, whoever is charged for it.
    """

    def __init__(
        self,
        configured: Iterable[str],
        *,
        max_tickers: int = 200,
        max_tickers_per_address: int = 20,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self.configured = frozenset(configured)
        self._most = max_tickers - len(self.configured)
        self._most_per_address = max_tickers_per_address
        self._grace = grace_seconds
        #: The streams that want each ticker, by address.
        self._wanted: dict[str, dict[Groups, int]] = {}
        #: The address that each ticker is charged to, and the tickers charged to each group of addresses.
        self._charged: dict[str, Groups] = {}
        self._shares = AddressCounts()
        #: The tickers that are followed and charged to nobody, since when.
        self._uncharged_since: dict[str, float] = {}
        #: The tickers that streams want and nobody is charged for.
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._subscribers: list[Callable[[frozenset[str], frozenset[str]], None]] = []

    def __repr__(self) -> str:
        return f"<Demand {len(self._charged)} tickers charged, {len(self._uncharged_since)} in grace>"

    @property
    def tickers(self) -> frozenset[str]:
        """The tickers followed beside the configured ones, including those in their grace period."""
        return frozenset((*self._charged, *self._uncharged_since))

    def ranks(self) -> dict[str, int]:
        """The rank of each of `tickers`: how many were charged to the same address before it. The lowest come first."""
        ranks = dict.fromkeys(self._uncharged_since, NOBODY)
        before: Counter[Groups] = Counter()
        for ticker, groups in self._charged.items():
            ranks[ticker] = before[groups[:1]]
            before[groups[:1]] += 1
        return ranks

    def subscribe(self, changed: Callable[[frozenset[str], frozenset[str]], None]) -> None:
        """Call ``changed(added, released)`` after every change of `tickers`, in the order of subscription."""
        self._subscribers.append(changed)

    def join(self, tickers: frozenset[str], groups: Groups = ()) -> Mapping[str, str]:
        """Count one more stream that wants the tickers; return those that are not followed, each with the reason.

        Tickers in their grace period that no address is charged for make room before a ticker is refused.
        """
        if tickers <= self.configured:
            return {}
        added: list[str] = []
        released: list[str] = []
        full = {}
        # Those in grace come first: otherwise another one could take their place.
        for ticker in sorted(tickers - self.configured, key=lambda name: (name not in self._uncharged_since, name)):
            streams = self._wanted.setdefault(ticker, {})
            streams[groups] = streams.get(groups, 0) + 1
            if ticker in self._charged:
                continue
            reason = self._charge(ticker, groups, added, released)
            if reason:
                self._waiting[ticker] = None
                if ticker not in self._uncharged_since:
                    full[ticker] = reason
        self._notify(added, released)
        return full

    def _charge(self, ticker: str, groups: Groups, added: list[str], released: list[str]) -> str:
        """Charge the address for the ticker, which is charged to nobody; return why not, or nothing."""
        if self._shares.full(groups, self._most_per_address) is not None:
            return ADDRESS_FULL
        if self._uncharged_since.pop(ticker, None) is None:
            if len(self._charged) + len(self._uncharged_since) >= self._most:
                if not self._uncharged_since:
                    return ALL_FULL
                oldest = next(iter(self._uncharged_since))
                del self._uncharged_since[oldest]
                released.append(oldest)
            added.append(ticker)
        self._charged[ticker] = groups
        self._shares.add(groups)
        self._waiting.pop(ticker, None)
        return ""

    def leave(self, tickers: frozenset[str], groups: Groups, now: float) -> None:
        """Count one stream less that wants the tickers; the last one begins their grace period."""
        for ticker in tickers - self.configured:
            streams = self._wanted[ticker]
            streams[groups] -= 1
            if streams[groups]:
                continue
            del streams[groups]
            if not streams:
                del self._wanted[ticker]
                self._waiting.pop(ticker, None)
            if self._charged.get(ticker) == groups:
                self._uncharge(ticker, now)

    def _uncharge(self, ticker: str, now: float) -> None:
        """The address that the ticker is charged to does not want it any more: charge another, or nobody."""
        self._shares.remove(self._charged.pop(ticker))
        self._uncharged_since[ticker] = now
        if ticker in self._wanted:
            self._waiting[ticker] = None
            self._charge_any(ticker, [], [])

    def _charge_any(self, ticker: str, added: list[str], released: list[str]) -> None:
        for groups in islice(self._wanted[ticker], SEARCHED_ADDRESSES):
            if not self._charge(ticker, groups, added, released):
                return

    def release(self, now: float) -> None:
        """Release the tickers whose grace period is over, and follow those that waited for room."""
        released = [ticker for ticker, since in self._uncharged_since.items() if now - since >= self._grace]
        for ticker in released:
            del self._uncharged_since[ticker]
        self._notify((), released)
        if self._waiting:
            self._follow_waiting()

    def _follow_waiting(self) -> None:
        added: list[str] = []
        released: list[str] = []
        for ticker in list(islice(self._waiting, SEARCHED_TICKERS)):
            self._waiting.move_to_end(ticker)  # the next search begins after it
            self._charge_any(ticker, added, released)
        again = set(added).intersection(released)
        self._notify(set(added) - again, set(released) - again)

    def _notify(self, added: Collection[str], released: Collection[str]) -> None:
        if added or released:
            for changed in self._subscribers:
                changed(frozenset(added), frozenset(released))
