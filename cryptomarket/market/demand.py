"""The demand: the tickers that streams ask for beside the configured ones. Pure: it is told the time."""

from collections.abc import Iterable

__all__ = ["Demand"]


class Demand:
    """Counts who wants a ticker; an unwanted one lingers a while, since a reloaded page wants it again."""

    def __init__(self, configured: Iterable[str], *, linger_seconds: float) -> None:
        self._configured = frozenset(configured)
        self._linger = linger_seconds
        self._counts: dict[str, int] = {}
        self._unwanted: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Demand {len(self._counts)} tickers, {len(self._unwanted)} lingering>"

    @property
    def tickers(self) -> frozenset[str]:
        """Everything that is subscribed for streams now, lingering tickers included."""
        return frozenset((*self._counts, *self._unwanted))

    def room(self, tickers: frozenset[str], most: int) -> bool:
        """Whether no more than ``most`` tickers, configured ones included, would be followed with these."""
        if tickers <= self._configured:
            return True
        return len(self._configured.union(tickers, self._counts, self._unwanted)) <= most

    def join(self, tickers: frozenset[str]) -> list[str]:
        """One more stream wants the tickers; gives those that were not followed before."""
        new = []
        for ticker in tickers - self._configured:
            if ticker not in self._counts and self._unwanted.pop(ticker, None) is None:
                new.append(ticker)
            self._counts[ticker] = self._counts.get(ticker, 0) + 1
        return new

    def leave(self, tickers: frozenset[str], now: float) -> None:
        """One stream less wants the tickers."""
        for ticker in tickers - self._configured:
            self._counts[ticker] -= 1
            if not self._counts[ticker]:
                del self._counts[ticker]
                self._unwanted[ticker] = now

    def expired(self, now: float) -> list[str]:
        """The tickers to give up, as nobody has wanted them for a while."""
        gone = [ticker for ticker, since in self._unwanted.items() if now - since >= self._linger]
        for ticker in gone:
            del self._unwanted[ticker]
        return gone
