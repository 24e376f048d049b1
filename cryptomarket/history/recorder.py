"""The recorder: folds ticks into slots and writes the closed ones under the leader's epoch.

It decides by the exchange's timestamps, because our wall clock may be wrong or step. It knows no SQL and no socket.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Protocol

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import DatabaseUnavailable
from ..model import Message, Price, Source, Tick, Upstream
from .candles import MINUTE, MinuteBar, minute
from .intervals import MissingReasons
from .outages import Outages
from .slots import Slots, slot_price

__all__ = ["LiveWriter", "Recorder", "RecorderStatistics"]

log = structlog.get_logger(__name__)

#: How long after its end a slot is written; a later tick still corrects it.
GRACE_SECONDS = 1.0
#: How often a write to an unavailable database is tried again.
RETRY_SECONDS = 2.0
#: How long a stop may take to write what is still in memory.
STOP_SECONDS = 5.0
#: Limits of the queue for an unavailable database: a day, and about 150 MB of memory.
QUEUE_SECONDS = 86_400
QUEUE_ROWS = 500_000
#: Rows of one write, so that a day's queue neither holds the writer's lock nor is lost whole when a write fails.
WRITE_ROWS = 1_000
#: The length of each of the two windows in which the exchange's clock is the furthest that a tick showed.
CLOCK_SECONDS = 150.0


class LiveWriter(Protocol):
    """Where the recorder writes; a `HistoryWriter` is one."""

    async def write_live(
        self, rows: Sequence[Price], epoch: int, *, bars: Sequence[MinuteBar], reasons: MissingReasons
    ) -> bool:
        """Write prices and bars, all or none. Returns False when a newer leader has taken over."""


@dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """Rows since the recorder's start; `queued` ones are not written yet."""

    queued: int
    written: int
    dropped: int
    database_down: bool
    deposed: bool


class Recorder:
    """Writes one row for each ticker and slot of `interval` seconds: the last tick that arrived for it.

    With each row it writes the bar of its minute, and for missing slots before it their reasons. `configured` are the
    tickers that should always tick. Others tick while a stream asks for them; they are recorded only with
    `record_wanted`, and without it only the bar of their open minute is kept. `on_written` is called after each
    successful write. `monotonic` measures how far the exchange's clock has advanced since its last tick; `wall`
    stands for that clock before the first tick.
    """

    def __init__(
        self,
        writer: LiveWriter,
        *,
        interval: int,
        epoch: int,
        configured: Collection[str] | None = None,
        record_wanted: bool = True,
        on_written: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._interval = interval
        self._epoch = epoch
        self._on_written = on_written
        self._monotonic = monotonic
        self._clock = ExchangeClock(wall, monotonic)
        self._outages = Outages(started=wall(), configured=configured)
        self._recorded = None if record_wanted or configured is None else frozenset(configured)  # None: all
        self._slots: Slots[Price] = Slots()
        self._bars: Slots[MinuteBar] = Slots()
        self._bar_parts = 0
        self._written = 0
        self._dropped = 0
        self._down_since: float | None = None
        self._deposed = False
        self._newest_epoch = 0
        self._newest_slot: dict[str, int] = {}
        self._early: set[tuple[int, str]] = set()  # open slots to write at once
        self._wake = anyio.Event()

    def __repr__(self) -> str:
        return f"<Recorder every {self._interval} s, {self._slots.rows} queued, {self._written} written>"

    def statistics(self) -> RecorderStatistics:
        """Its counters."""
        down = self._down_since is not None
        return RecorderStatistics(self._slots.rows, self._written, self._dropped, down, self._deposed)

    def bars(self, ticker: str) -> list[MinuteBar]:
        """The bars of a ticker that are not stored yet: of the open minute and of a queue."""
        return self._bars.of_ticker(ticker)

    def now(self) -> float:
        """The exchange's time, UNIX seconds, by which slots begin and end."""
        return self._clock.now()

    def reasons(self) -> MissingReasons:
        """Why slots are missing, as known now."""
        return self._outages.reasons()

    def on_message(self, message: Message) -> None:
        """Take a tick into its slot; the last to arrive within the highest epoch is the slot's price."""
        if isinstance(message, Upstream):
            self._outages.on_upstream(message, self._clock.now())
        if not isinstance(message, Tick) or self._deposed or message.epoch < self._newest_epoch:
            return
        self._newest_epoch = message.epoch
        self._clock.on_tick(message.exchange_timestamp / 1000)
        self._add_to_bar(message)
        if not self._is_recorded(message.ticker):
            return
        price = slot_price(message, self._interval, source=Source.LIVE, epoch=self._epoch)
        self._slots.put(price)
        newest = self._newest_slot.get(price.ticker, 0)
        if price.timestamp > newest:
            self._newest_slot[price.ticker] = price.timestamp
            if price.timestamp - newest > self._interval:
                # Written at once, while it is open, so that the gap before it is known and can be filled now.
                self._early.add((price.timestamp, price.ticker))
                self._wake.set()

    def _is_recorded(self, ticker: str) -> bool:
        return self._recorded is None or ticker in self._recorded

    def _add_to_bar(self, tick: Tick) -> None:
        bar = self._bars.get(minute(tick.exchange_timestamp), tick.ticker)
        if bar is None:
            self._bar_parts += 1
            self._bars.put(MinuteBar.of(tick, self._epoch, self._bar_parts))
        else:
            self._bars.put(bar.with_tick(tick))

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Write closed slots until cancelled, then everything that is left, the open slot included."""
        task_status.started()
        try:
            while True:
                with anyio.move_on_after(self._pause_seconds()):
                    await self._wake.wait()
                self._wake = anyio.Event()
                await self.write()
        finally:
            with anyio.move_on_after(STOP_SECONDS, shield=True):
                await self.write(with_open=True)
            if self._slots.rows:
                log.error("recorder stopped with unwritten slots", rows=self._slots.rows)

    def _pause_seconds(self) -> float:
        """How long until there may be something to write."""
        if self._down_since is not None:
            return RETRY_SECONDS
        if not self._clock.known:
            return min(1.0, self._interval)
        period = min(self._interval, MINUTE)
        return max(0.01, period - (self._clock.now() - GRACE_SECONDS) % period)

    async def write(self, *, with_open: bool = False) -> None:
        """Write the closed slots and minutes, oldest first; while the database is unavailable they stay queued."""
        self._drop_oldest()
        closed = float("inf") if with_open else self._clock.now() - GRACE_SECONDS
        early = [row for slot, ticker in self._early if (row := self._slots.get(slot, ticker))]
        rows_and_bars = zip_longest(
            chain(self._slots.batches(closed - self._interval, WRITE_ROWS), [early] if early else []),
            self._bars.batches(closed - MINUTE, WRITE_ROWS),
            fillvalue=(),
        )
        wrote = False
        for rows, closed_bars in rows_and_bars:
            bars = [bar for bar in closed_bars if self._is_recorded(bar.ticker)]
            if not rows and not bars:
                self._remove_written(rows, closed_bars)
                continue
            try:
                is_leader = await self._writer.write_live(rows, self._epoch, bars=bars, reasons=self.reasons())
            except DatabaseUnavailable as exc:
                self._on_unavailable(exc)
                return
            if not is_leader:
                self._on_deposed()
                return
            wrote = True
            self._remove_written(rows, closed_bars)
            self._on_available()
        if wrote:
            self._on_written()

    def _remove_written(self, rows: Sequence[Price], bars: Sequence[MinuteBar]) -> None:
        """Remove what was written; a tick that came during the write has replaced its row, which then stays."""
        self._written += len(rows)
        self._early.difference_update((row.timestamp, row.ticker) for row in rows)
        for row in rows:
            self._slots.remove(row)
        for bar in bars:
            self._bars.remove(bar)

    def _drop_oldest(self) -> None:
        """Keep the queue within its limits; the newest rows are worth more."""
        before = self._dropped
        # Slots are counted: with an age limit, one tick with a date of the far future would empty the queue.
        while len(self._slots) > QUEUE_SECONDS // self._interval + 2 or self._slots.rows > QUEUE_ROWS:
            oldest, rows = self._slots.remove_oldest()
            self._outages.on_dropped(oldest, oldest + self._interval)
            self._dropped += rows
        while len(self._bars) > QUEUE_SECONDS // MINUTE + 2:
            self._bars.remove_oldest()
        if before == 0 and self._dropped:
            log.error("slot queue full, oldest slots dropped", rows=self._dropped)

    def _on_unavailable(self, error: DatabaseUnavailable) -> None:
        if self._down_since is None:
            self._down_since = self._monotonic()
            log.error("database unavailable, slots queued", error=str(error), rows=self._slots.rows)

    def _on_available(self) -> None:
        if self._down_since is not None:
            seconds = round(self._monotonic() - self._down_since, 1)
            self._down_since = None
            log.info("database available, writing queued slots", away_seconds=seconds, rows=self._slots.rows)

    def _on_deposed(self) -> None:
        self._deposed = True
        self._slots.clear()
        self._bars.clear()
        self._early.clear()
        log.warning("recording stopped, another process records into this database", epoch=self._epoch)


class ExchangeClock:
    """The exchange's time, UNIX seconds: the furthest that a tick of the last two windows showed.

    To be too far ahead is harmless, since a later tick corrects a slot that was closed too early. An old tick must not
    hold a slot open, and a tick of the future must not count for ever.
    """

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset: float | None = None  # the exchange's time minus our monotonic time
        self._furthest = (0.0, 0.0)  # offset of the window before, and of this one
        self._window_began = 0.0

    @property
    def known(self) -> bool:
        """Whether a tick has shown it."""
        return self._offset is not None

    def now(self) -> float:
        """The exchange's time; before the first tick our wall clock's."""
        return self._wall() if self._offset is None else self._monotonic() + self._offset

    def on_tick(self, exchange_seconds: float) -> None:
        """Take the timestamp of a tick."""
        now = self._monotonic()
        offset = exchange_seconds - now
        if self._offset is None or now - self._window_began > 2 * CLOCK_SECONDS:
            self._furthest = (offset, offset)
            self._window_began = now
        elif now - self._window_began > CLOCK_SECONDS:
            self._furthest = (self._furthest[1], offset)
            self._window_began = now
        else:
            self._furthest = (self._furthest[0], max(self._furthest[1], offset))
        self._offset = max(self._furthest)
