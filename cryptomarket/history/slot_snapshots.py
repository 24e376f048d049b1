"""Near the end of each slot: a snapshot of the tickers that had no tick in it, so that the slot still gets a price.

The connection may be refused, or one ticker silent, while the exchange answers over HTTP. It knows neither: tickers,
clock and exchange are passed in.
"""

from collections.abc import Awaitable, Callable, Collection

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import DatabaseUnavailable
from .intervals import MissingReasons
from .recent_slots import RecentSlots
from .snapshot import TICKER_SECONDS, PriceSource, take_snapshot
from .writer import HistoryWriter

__all__ = ["LEAST_INTERVAL", "SlotSnapshots"]

log = structlog.get_logger(__name__)

#: How long before the end of a slot its snapshot begins, beside the time for the credits of each ticker.
LEAD_SECONDS = 5.0
#: The shortest slots that have a snapshot: in shorter ones most requests would end too late.
LEAST_INTERVAL = 10


class SlotSnapshots:
    """Takes the snapshot of each slot of at least `LEAST_INTERVAL` seconds.

    `tickers` returns those that are recorded, `rests` whether the exchange announced that one has no price now. The
    ledger enters missing time with `reasons`. `now` is the exchange's time, UNIX seconds. `on_stored` is called when a
    price was stored.
    """

    def __init__(
        self,
        writer: HistoryWriter,
        source: PriceSource,
        *,
        tickers: Callable[[], Collection[str]],
        recent_slots: RecentSlots,
        reasons: Callable[[], MissingReasons],
        now: Callable[[], float],
        rests: Callable[[str], bool] = lambda _: False,
        on_stored: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._writer, self._source = writer, source
        self._tickers, self._recent_slots = tickers, recent_slots
        self._reasons, self._now, self._rests = reasons, now, rests
        self._on_stored = on_stored
        self._sleep = sleep
        self._failing = False

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Take snapshots until cancelled; failures of the exchange and the database are states."""
        task_status.started()
        step = self._writer.interval
        taken = 0.0
        while True:
            now = self._now()
            end = now // step * step + step
            lead = min(step / 2, LEAD_SECONDS + TICKER_SECONDS * len(self._silent(int(end) - step)))
            if end - now > lead:
                await self._sleep(end - now - lead)
            elif end == taken:
                await self._sleep(end - now + 0.01)
            else:
                taken = end
                await self.take()

    async def take(self) -> None:
        """Store the prices of the tickers without a tick in the open slot, as far as the exchange answers within it."""
        step, now = self._writer.interval, self._now()
        slot = int(now // step * step)
        silent = self._silent(slot)
        try:
            found = await take_snapshot(
                self._writer, self._source, silent, reasons=self._reasons(), seconds=slot + step - now, wall=self._now
            )
        except DatabaseUnavailable as exc:
            self._report(f"database unavailable: {exc}", len(silent))
            return
        problems = {**found.refused, **found.failed}
        self._report(next(iter(problems.values()), ""), len(problems))
        if found.stored:
            log.info("snapshot stored, no ticks in the slot", slot=slot, tickers=len(found.stored))
            self._on_stored()

    def _silent(self, slot: int) -> list[str]:
        """The tickers without a tick in the slot that do not rest; they become fewer as the slot goes on."""
        return [t for t in self._tickers() if not self._recent_slots.has(t, slot) and not self._rests(t)]

    def _report(self, reason: str, tickers: int) -> None:
        """Log the first failure of a row of failing snapshots."""
        if reason and not self._failing:
            log.warning("snapshot failing", reason=reason, tickers=tickers)
        self._failing = bool(reason)
