"""The board: the newest tick of each ticker in memory, and whether what it shows can still be believed.

It is fed by the bus on every node and read by streams, REST and health. It knows no socket and no clock of its own.
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
    """The newest tick of each ticker, and the state of upstream as this node sees it.

    Newest is the last to arrive within the highest epoch: exchange timestamps step back and repeat.
    ``monotonic`` gives seconds for ages, ``wall`` UNIX seconds for what people read.
    """

    def __init__(self, tickers: Iterable[str], *, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self.tickers = tuple(tickers)
        self._monotonic = monotonic
        self._wall = wall
        self._entries: dict[str, _Entry] = {}
        self._refused: set[str] = set()
        self._link = Upstream(UpstreamState.CONNECTING, int(wall() * 1000))
        self._link_changed = monotonic()
        self._shown = self._link
        self.epoch = 0

    def __repr__(self) -> str:
        return f"<Board {len(self._entries)} tickers, epoch {self.epoch}, {self._shown.state}>"

    def on_message(self, message: Message) -> None:
        """Take what the bus delivers; a message of a lower epoch than the highest seen changes nothing."""
        match message:
            case Tick():
                self._receive_tick(message)
            case Upstream():
                if message.state is not self._link.state:
                    self._link_changed = self._monotonic()
                self._link = message
            case Gap():
                self._refused.add(message.ticker)

    def _receive_tick(self, tick: Tick) -> None:
        if tick.epoch < self.epoch:
            return
        self.epoch = tick.epoch
        self._refused.discard(tick.ticker)
        entry = self._entries.get(tick.ticker)
        if entry is None:
            entry = self._entries[tick.ticker] = _Entry(tick, Rhythm())
        entry.tick = tick
        entry.rhythm.beat(self._monotonic())

    def forget(self, ticker: str) -> None:
        """Drop a ticker nobody asks for any more, so that its silence is not called stale."""
        if ticker not in self.tickers:
            self._entries.pop(ticker, None)
            self._refused.discard(ticker)

    def tick(self, ticker: str) -> Tick | None:
        """The newest tick of the ticker, if one ever arrived."""
        entry = self._entries.get(ticker)
        return entry.tick if entry else None

    def ages(self) -> dict[str, int]:
        """Milliseconds since the last arrival, of each ticker that ever had a tick."""
        now = self._monotonic()
        return {
            ticker: int((now - entry.rhythm.last) * 1000)
            for ticker, entry in self._entries.items()
            if entry.rhythm.last is not None
        }

    def silent(self) -> list[str]:
        """The tickers that should have spoken by now: overdue by their own rhythm, or configured and never heard."""
        now = self._monotonic()
        overdue = [ticker for ticker, entry in self._entries.items() if entry.rhythm.overdue(now)]
        if now - self._link_changed > Rhythm().limit:
            overdue += [t for t in self.tickers if t not in self._entries and t not in self._refused]
        return overdue

    def upstream(self) -> Upstream:
        """The state to show: the link's own, or ``stale`` while it is up and a ticker is silent."""
        link = self._link
        state, reason = link.state, link.reason
        if state is UpstreamState.LIVE and (silent := self.silent()):
            state, reason = UpstreamState.STALE, f"no tick of {', '.join(silent)}"
        if state is not self._shown.state:
            since = link.since if state is link.state and link.since > self._shown.since else int(self._wall() * 1000)
            self._shown = Upstream(state, since, reason)
        return self._shown
