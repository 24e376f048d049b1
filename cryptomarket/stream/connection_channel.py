"""The `connection` channel as one node writes it: the state of upstream, heartbeats and gaps, as encoded events.

It reads the latest values, and knows no stream.
"""

from collections.abc import Callable

from ..market.latest import LatestValues
from ..model import Gap
from .encoding import connection_event, gap_data, heartbeat_data, state_data

__all__ = ["ConnectionChannel"]


class ConnectionChannel:
    """Makes the events of the channel; ``changed`` is called when upstream changes its state."""

    def __init__(
        self,
        latest: LatestValues,
        *,
        changed: Callable[[], None],
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        #: Grows with every change of state, so that a stream that has not received the newest one can be found.
        self.version = 0
        #: False when a message has arrived since the last `refresh`.
        self.fresh = False
        self._latest = latest
        self._changed = changed
        self._monotonic, self._wall = monotonic, wall
        self._upstream = latest.upstream()
        self._refreshed_ms = -1
        self._states: dict[frozenset[str], bytes] = {}

    def refresh(self) -> None:
        """Read the state of upstream, at most once a millisecond unless a message arrived.

        Ages are in milliseconds, and reading them takes longer the more tickers there are: many streams that join at
        once share one reading.
        """
        now_ms = int(self._monotonic() * 1000)
        if self.fresh and now_ms == self._refreshed_ms:
            return
        self.fresh, self._refreshed_ms = True, now_ms
        self._states.clear()
        upstream = self._latest.upstream()
        if upstream.state is not self._upstream.state:
            self.version += 1
            self._changed()
        self._upstream = upstream

    def state(self, tickers: frozenset[str]) -> bytes:
        """The event with the state of upstream and the ages of the tickers."""
        self.refresh()
        event = self._states.get(tickers)
        if event is None:
            event = self._states[tickers] = connection_event(state_data(self._upstream, self._ages(tickers)))
        return event

    def heartbeat(self, tickers: frozenset[str]) -> bytes:
        """The event that shows a page that its connection works while no price arrives."""
        return connection_event(heartbeat_data(int(self._wall() * 1000), self._ages(tickers)))

    def refusal(self, gap: Gap) -> bytes:
        """The event for a ticker that is not delivered."""
        tick = self._latest.tick(gap.ticker)
        return connection_event(gap_data(gap.reason, since=tick.id if tick else None, ticker=gap.ticker))

    def _ages(self, tickers: frozenset[str]) -> dict[str, int]:
        return self._latest.ages(sorted(tickers))
