"""Why there was no tick: a short memory of outages, by the exchange's clock. Plain values, no I/O."""

from collections import deque
from collections.abc import Collection, Sequence

from ..model import Upstream, UpstreamState
from .intervals import Interval, Outage, Reason, explain

__all__ = ["Outages"]

#: Outages remembered; a hole is explained when the next tick comes, so only the last ones matter.
REMEMBERED = 1_000


class Outages:
    """Remembers since its start when no tick could come, and explains the holes of a ledger with it.

    `started` is when this program began, UNIX seconds: before it nobody recorded. `configured` are the tickers that
    should always tick; None means all.
    """

    def __init__(self, step: int, *, started: float, configured: Collection[str] | None = None) -> None:
        self._step = step
        self._started = started
        self._configured = configured
        self._ended: deque[Outage] = deque(maxlen=REMEMBERED)
        self._open: Outage | None = None
        self._lost: Outage | None = None

    def receive(self, message: Upstream, now: float) -> None:
        """Take a change of the connection's state, at a moment of the exchange's clock."""
        if message.state is UpstreamState.DOWN or message.state is UpstreamState.CONNECTING:
            reason = Reason.MAINTENANCE if "maintenance" in message.reason.lower() else Reason.UPSTREAM
            if self._open is None:
                self._open = Outage(now, None, reason)
            elif reason is Reason.MAINTENANCE:
                self._open = Outage(self._open.start, None, reason)
        elif self._open is not None:
            self._ended.append(Outage(self._open.start, max(now, self._open.start), self._open.reason))
            self._open = None

    def lost(self, start: int, end: int) -> None:
        """Slots that were heard, and dropped because the database was away too long; told oldest first."""
        self._lost = Outage(self._lost.start if self._lost else start, end, Reason.DATABASE)

    def explain(self, ticker: str, start: int, end: int) -> Sequence[Interval]:
        """A hole of the ticker as missing intervals with their reasons."""
        outages = [Outage(0, self._started, Reason.RESTART)]
        outages += [outage for outage in (self._lost,) if outage is not None]
        outages += [outage for outage in self._ended if outage.end is not None and outage.end > start]
        outages += [outage for outage in (self._open,) if outage is not None]
        expected = self._configured is None or ticker in self._configured
        return explain(start, end, self._step, outages, Reason.SILENT if expected else Reason.UNASKED)
