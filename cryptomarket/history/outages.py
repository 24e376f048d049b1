"""When no tick could arrive, by the exchange's clock, since the start of a recorder. Plain values, no I/O."""

from collections import deque
from collections.abc import Collection

from ..model import Upstream, UpstreamState
from .intervals import MissingReasons, Outage, Reason

__all__ = ["Outages"]

#: Ended outages that are kept. A gap is explained when the next tick arrives, so only the last ones matter.
KEPT_OUTAGES = 1_000


class Outages:
    """Collects outages and returns them as the reasons of missing slots.

    `started` is the recorder's start in UNIX seconds: before it nothing was recording. `configured` are the tickers
    that should always tick; None means all.
    """

    def __init__(self, *, started: float, configured: Collection[str] | None = None) -> None:
        self._before_start = Outage(0, started, Reason.RESTART)
        self._configured = configured
        self._ended: deque[Outage] = deque(maxlen=KEPT_OUTAGES)
        self._open: Outage | None = None
        self._dropped: Outage | None = None

    def on_upstream(self, message: Upstream, now: float) -> None:
        """Take a change of the connection's state; `now` is UNIX seconds by the exchange's clock."""
        if message.state is UpstreamState.DOWN or message.state is UpstreamState.CONNECTING:
            reason = Reason.MAINTENANCE if "maintenance" in message.reason.lower() else Reason.UPSTREAM
            if self._open is None:
                self._open = Outage(now, None, reason)
            elif reason is Reason.MAINTENANCE:
                self._open = Outage(self._open.start, None, reason)
        elif self._open is not None:
            self._ended.append(Outage(self._open.start, max(now, self._open.start), self._open.reason))
            self._open = None

    def on_dropped(self, start: int, end: int) -> None:
        """Take slots that were dropped because the database was away for too long; called oldest first."""
        self._dropped = Outage(self._dropped.start if self._dropped else start, end, Reason.DATABASE)

    def reasons(self) -> MissingReasons:
        """Why slots are missing, as known at this moment."""
        outages = [self._before_start, self._dropped, *self._ended, self._open]
        known = tuple(outage for outage in outages if outage is not None)
        return MissingReasons(known, self._configured, otherwise=Reason.SILENT)
