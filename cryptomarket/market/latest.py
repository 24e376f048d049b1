"""The newest tick of each followed ticker (a last-value cache), and whether these values are current.

Every node has one: the bus writes it; streams, REST and health read it. It knows no socket; clocks are arguments.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..model import Gap, Message, Rhythm, Tick, Upstream, UpstreamState

__all__ = ["LatestValues"]


@dataclass(slots=True)
class _Entry:
    tick: Tick
    rhythm: Rhythm


class LatestValues:
    """The newest tick of each followed ticker, and the state of upstream as this node sees it.

    ``tickers`` are the configured ones, which are always followed; `follow` adds and releases others. The newest tick
    is the last to arrive within the highest epoch, since exchange timestamps step back and repeat. ``monotonic``
    (seconds) is used for ages, ``wall`` (UNIX seconds) for published times. ``listed`` returns whether the exchange
    offers a ticker: an ended instrument has no prices, which makes the others no staler.
    """

    def __init__(
        self,
        tickers: Iterable[str],
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        listed: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.tickers = tuple(tickers)
        self._monotonic = monotonic
        self._wall = wall
        self._listed = listed
        self._followed = frozenset(self.tickers)
        self._entries: dict[str, _Entry] = {}
        self._refused: set[str] = set()
        self._connection = Upstream(UpstreamState.CONNECTING, int(wall() * 1000))
        self._connection_changed = monotonic()
        self._published = self._connection
        self.epoch = 0

    def __repr__(self) -> str:
        return f"<LatestValues {len(self._entries)} tickers, epoch {self.epoch}, {self._published.state}>"

    def on_message(self, message: Message) -> None:
        """Apply a message of the bus.

        Ticks of a lower epoch than the highest seen, and of tickers that only other nodes follow, change nothing.
        """
        match message:
            case Tick():
                self._apply(message)
            case Upstream():
                if message.state is not self._connection.state:
                    self._connection_changed = self._monotonic()
                self._connection = message
            case Gap():
                if message.ticker in self.tickers:  # of others no state depends
                    self._refused.add(message.ticker)

    def _apply(self, tick: Tick) -> None:
        if tick.epoch < self.epoch or tick.ticker not in self._followed:
            return
        self.epoch = tick.epoch
        self._refused.discard(tick.ticker)
        entry = self._entries.get(tick.ticker)
        if entry is None:
            entry = self._entries[tick.ticker] = _Entry(tick, Rhythm())
        entry.tick = tick
        entry.rhythm.beat(self._monotonic())

    def follow(self, added: frozenset[str], released: frozenset[str]) -> None:
        """Keep the tickers added from now on; drop those released."""
        self._followed = (self._followed | added) - released
        for ticker in released:
            self._entries.pop(ticker, None)

    @property
    def followed(self) -> frozenset[str]:
        """The configured tickers, and those that streams of this node want."""
        return self._followed

    def tick(self, ticker: str) -> Tick | None:
        """The newest tick of the ticker, or None before the first."""
        entry = self._entries.get(ticker)
        return entry.tick if entry else None

    def ages(self, tickers: Iterable[str]) -> dict[str, int]:
        """Milliseconds since the last arrival, for each of the tickers that is followed and has had a tick."""
        now = self._monotonic()
        found = {}
        for ticker in tickers:
            entry = self._entries.get(ticker)
            if entry is not None and entry.rhythm.last is not None:
                found[ticker] = int((now - entry.rhythm.last) * 1000)
        return found

    def silent(self) -> list[str]:
        """The stale tickers among the configured: overdue by their own rhythm, or not refused and without a first tick.

        Of others only `ages` tell: what one stream wants must not change the state of all. Those that the exchange does
        not offer are none, unless it offers none of the configured ones.
        """
        now = self._monotonic()
        overdue = [t for t in self.tickers if t in self._entries and self._entries[t].rhythm.overdue(now)]
        if now - self._connection_changed > Rhythm().limit:
            overdue += [t for t in self.tickers if t not in self._entries and t not in self._refused]
        if overdue and any(map(self._listed, self.tickers)):
            return [ticker for ticker in overdue if self._listed(ticker)]
        return overdue

    def upstream(self) -> Upstream:
        """The state to publish: that of the connection, or ``stale`` while it is live and some are silent."""
        connection = self._connection
        state, reason = connection.state, connection.reason
        if state is UpstreamState.LIVE and (silent := self.silent()):
            state, reason = UpstreamState.STALE, f"no tick of {', '.join(silent)}"
        if state is not self._published.state:
            own = state is connection.state and connection.since > self._published.since
            since = connection.since if own else int(self._wall() * 1000)
            self._published = Upstream(state, since, reason)
        return self._published
