"""Which tickers this node follows beside the configured ones, because its streams want them.

The only grace period of the program is here: a ticker is released some time after its last stream has left, so that a
page that reloads costs no new subscription. It knows no stream and no socket; the time comes from its caller.
"""

from collections.abc import Callable, Collection, Iterable

from ..errors import InvalidParameter

__all__ = ["GRACE_SECONDS", "Demand"]

#: Longer than a reload, a lost connection and the pause before the browser reconnects (1 to 5 s) together.
GRACE_SECONDS = 30.0


class Demand:
    """Counts the streams that want each ticker, and notifies its subscribers of the tickers added and released."""

    def __init__(
        self, configured: Iterable[str], *, max_tickers: int = 200, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self.configured = frozenset(configured)
        self._max_tickers = max_tickers
        self._grace = grace_seconds
        self._counts: dict[str, int] = {}
        self._unwanted_since: dict[str, float] = {}
        self._subscribers: list[Callable[[frozenset[str], frozenset[str]], None]] = []

    def __repr__(self) -> str:
        return f"<Demand {len(self._counts)} tickers wanted, {len(self._unwanted_since)} in grace>"

    @property
    def tickers(self) -> frozenset[str]:
        """The tickers followed beside the configured ones, including those in their grace period."""
        return frozenset((*self._counts, *self._unwanted_since))

    def subscribe(self, changed: Callable[[frozenset[str], frozenset[str]], None]) -> None:
        """Call ``changed(added, released)`` after every change of `tickers`, in the order of subscription."""
        self._subscribers.append(changed)

    def join(self, tickers: frozenset[str]) -> None:
        """Count one more stream that wants the tickers.

        Raises InvalidParameter, and changes nothing, when more tickers would be followed than allowed.
        """
        if tickers <= self.configured:
            return
        if len(self.configured.union(tickers, self._counts, self._unwanted_since)) > self._max_tickers:
            raise InvalidParameter("channels", f"no ticker beyond the {self._max_tickers} that are followed at once")
        added = []
        for ticker in tickers - self.configured:
            if ticker not in self._counts and self._unwanted_since.pop(ticker, None) is None:
                added.append(ticker)
            self._counts[ticker] = self._counts.get(ticker, 0) + 1
        self._notify(added, ())

    def leave(self, tickers: frozenset[str], now: float) -> None:
        """Count one stream less that wants the tickers; the last one begins their grace period."""
        for ticker in tickers - self.configured:
            self._counts[ticker] -= 1
            if not self._counts[ticker]:
                del self._counts[ticker]
                self._unwanted_since[ticker] = now

    def release(self, now: float) -> None:
        """Release the tickers whose grace period is over."""
        released = [ticker for ticker, since in self._unwanted_since.items() if now - since >= self._grace]
        for ticker in released:
            del self._unwanted_since[ticker]
        self._notify((), released)

    def _notify(self, added: Collection[str], released: Collection[str]) -> None:
        if added or released:
            for changed in self._subscribers:
                changed(frozenset(added), frozenset(released))
