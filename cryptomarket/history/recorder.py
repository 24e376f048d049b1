"""The recorder: one coroutine that folds ticks into slots and writes the closed ones under the leader's epoch.

It decides by the exchange's own timestamps; our wall clock may be wrong or step. It knows no SQL and no socket.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Protocol, TypeVar

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import DatabaseUnavailable
from ..model import Message, Price, Source, Tick, Upstream
from .candles import MINUTE, MinuteBar, minute
from .intervals import Interval
from .outages import Outages
from .writing import Why

__all__ = ["Recorder", "RecorderStatistics", "SlotStore"]

log = structlog.get_logger(__name__)

#: How long after its end a slot is written; a tick that comes later still corrects it.
GRACE_SECONDS = 1.0
#: How often a database that went away is asked again.
RETRY_SECONDS = 2.0
#: How long a stop may take to write what is still in memory.
STOP_SECONDS = 5.0
#: What waits for a database that is away: a day, and no more memory than these rows take (about 150 MB).
QUEUE_SECONDS = 86_400
QUEUE_ROWS = 500_000
#: Rows of one write, so that a day's queue neither holds the writer's lock nor is lost whole when it fails.
WRITE_ROWS = 1_000
#: The exchange's clock is the furthest any tick of the last minutes showed, in two windows of this length.
CLOCK_SECONDS = 150.0


Entry = TypeVar("Entry", Price, MinuteBar)


class SlotStore(Protocol):
    """Where the recorder writes: `Store` is one."""

    async def write_live(self, prices: Sequence[Price], epoch: int, *, bars: Sequence[MinuteBar], why: Why) -> bool:
        """Write rows and bars, all or none; False when a newer leader has taken over."""


@dataclass(frozen=True, slots=True)
class RecorderStatistics:
    """What the recorder did since its start; `queued` rows wait to be written."""

    queued: int
    written: int
    dropped: int
    database_down: bool
    deposed: bool


class Recorder:
    """Writes one row per ticker and slot of `interval` seconds: the last tick that arrived for it.

    Beside each row goes the bar of its minute, and for a hole the reason. `configured` are the tickers that should
    always tick; others are recorded while somebody asks for them. `monotonic` measures how far the exchange's clock
    has gone on since its last tick; `wall` stands for it before the first.
    """

    def __init__(
        self,
        store: SlotStore,
        *,
        interval: int,
        epoch: int,
        configured: Collection[str] | None = None,
        wrote: Callable[[], None] = lambda: None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._interval = interval
        self._epoch = epoch
        self._wrote = wrote
        self._wall = wall
        self._monotonic = monotonic
        self._outages = Outages(interval, started=wall(), configured=configured)
        self._slots: dict[int, dict[str, Price]] = {}
        self._bars: dict[int, dict[str, MinuteBar]] = {}
        self._parts = 0
        self._queued = 0
        self._written = 0
        self._dropped = 0
        self._down_since: float | None = None
        self._deposed = False
        self._newest_epoch = 0
        self._newest: dict[str, int] = {}  # the newest slot of each ticker
        self._early: set[tuple[int, str]] = set()
        self._hurry = anyio.Event()
        self._clock: float | None = None  # the exchange's time less our monotonic one, seconds
        self._clocks = (0.0, 0.0)  # the furthest of the window before, and of this one
        self._window_began = 0.0

    def __repr__(self) -> str:
        return f"<Recorder every {self._interval} s, {self._queued} queued, {self._written} written>"

    def statistics(self) -> RecorderStatistics:
        """What it did since its start."""
        return RecorderStatistics(
            self._queued, self._written, self._dropped, self._down_since is not None, self._deposed
        )

    def bars(self, ticker: str) -> list[MinuteBar]:
        """The bars of a ticker that are not stored yet: of the open minute, and of a queue."""
        return [of_minute[ticker] for of_minute in self._bars.values() if ticker in of_minute]

    def on_message(self, message: Message) -> None:
        """Take a tick into its slot; the last to arrive within the highest epoch is the slot's price."""
        if isinstance(message, Upstream):
            self._outages.receive(message, self._exchange_time())
        if not isinstance(message, Tick) or self._deposed or message.epoch < self._newest_epoch:
            return
        self._newest_epoch = message.epoch
        self._read_clock(message.exchange_timestamp / 1000)
        slot = message.slot(self._interval)
        of_slot = self._slots.setdefault(slot, {})
        self._queued += message.ticker not in of_slot
        of_slot[message.ticker] = Price(
            message.ticker, slot, message.price, message.exchange_timestamp, Source.LIVE, self._epoch
        )
        if slot > self._newest.get(message.ticker, 0):
            if slot - self._newest.get(message.ticker, 0) > self._interval:
                self._write_early(slot, message.ticker)
            self._newest[message.ticker] = slot
        self._take_into_bar(message)

    def _write_early(self, slot: int, ticker: str) -> None:
        """Write the open slot after a hole at once, so that the hole is known and can be filled now."""
        self._early.add((slot, ticker))
        self._hurry.set()

    def _take_into_bar(self, tick: Tick) -> None:
        of_minute = self._bars.setdefault(minute(tick.exchange_timestamp), {})
        bar = of_minute.get(tick.ticker)
        if bar is None:
            self._parts += 1
            of_minute[tick.ticker] = MinuteBar.of(tick, self._epoch, self._parts)
        else:
            of_minute[tick.ticker] = bar.with_tick(tick)

    def _exchange_time(self) -> float:
        """UNIX seconds by the exchange's clock, as far as it is known."""
        return self._wall() if self._clock is None else self._monotonic() + self._clock

    def _read_clock(self, exchange_seconds: float) -> None:
        """Take the furthest the exchange's clock showed in this window and the one before.

        Closing a slot early is harmless, since a later tick corrects it; an old tick must not hold it open, and a tick
        of the future must not count for ever.
        """
        now = self._monotonic()
        clock = exchange_seconds - now
        if self._clock is None or now - self._window_began > 2 * CLOCK_SECONDS:
            self._clocks = (clock, clock)
            self._window_began = now
        elif now - self._window_began > CLOCK_SECONDS:
            self._clocks = (self._clocks[1], clock)
            self._window_began = now
        else:
            self._clocks = (self._clocks[0], max(self._clocks[1], clock))
        self._clock = max(self._clocks)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Write closed slots until cancelled, then what is left, the open slot too."""
        task_status.started()
        try:
            while True:
                with anyio.move_on_after(self._pause()):
                    await self._hurry.wait()
                self._hurry = anyio.Event()
                await self.write()
        finally:
            with anyio.move_on_after(STOP_SECONDS, shield=True):
                await self.write(with_open=True)
            if self._queued:
                log.error("stopped with slots unwritten", rows=self._queued)

    def _pause(self) -> float:
        """Seconds until there may be something to write."""
        if self._down_since is not None:
            return RETRY_SECONDS
        if self._clock is None:
            return min(1.0, self._interval)
        beat = min(self._interval, MINUTE)
        since_close = (self._exchange_time() - GRACE_SECONDS) % beat
        return max(0.01, beat - since_close)

    async def write(self, *, with_open: bool = False) -> None:
        """Write the closed slots and minutes, oldest first; while the database is away they stay."""
        self._drop_oldest()
        closed = float("inf") if with_open else self._exchange_time() - GRACE_SECONDS
        early = [row for slot, ticker in self._early if (row := self._slots.get(slot, {}).get(ticker))]
        rows_and_bars = zip_longest(
            chain(_pieces(self._slots, closed - self._interval), [early] if early else []),
            _pieces(self._bars, closed - MINUTE),
            fillvalue=(),
        )
        wrote = False
        for rows, bars in rows_and_bars:
            try:
                leads = await self._store.write_live(rows, self._epoch, bars=bars, why=self._why)
            except DatabaseUnavailable as exc:
                self._say_down(exc)
                return
            if not leads:
                self._depose()
                return
            wrote = True
            self._early.difference_update((row.timestamp, row.ticker) for row in rows)
            self._forget(rows, bars)
            self._say_up()
        if wrote:
            self._wrote()

    def _why(self, ticker: str, start: int, end: int) -> Sequence[Interval]:
        return self._outages.explain(ticker, start, end)

    def _forget(self, rows: Sequence[Price], bars: Sequence[MinuteBar]) -> None:
        # A tick that came while we wrote has put another row or bar here, which is still to be written.
        self._written += len(rows)
        for row in rows:
            self._queued -= _remove(self._slots, row.timestamp, row.ticker, row)
        for bar in bars:
            _remove(self._bars, bar.timestamp, bar.ticker, bar)

    def _drop_oldest(self) -> None:
        """Keep the queue within a day and its memory: the newest rows are worth more."""
        before = self._dropped
        # Counted in slots, not from the newest: one tick with a date of the far future must not empty the queue.
        while len(self._slots) > QUEUE_SECONDS // self._interval + 2 or self._queued > QUEUE_ROWS:
            oldest = min(self._slots)
            self._outages.lost(oldest, oldest + self._interval)
            rows = len(self._slots.pop(oldest))
            self._queued -= rows
            self._dropped += rows
        while len(self._bars) > QUEUE_SECONDS // MINUTE + 2:
            del self._bars[min(self._bars)]
        if before == 0 and self._dropped:
            log.error("queue full, oldest slots dropped", rows=self._dropped)

    def _say_down(self, error: DatabaseUnavailable) -> None:
        if self._down_since is None:
            self._down_since = self._monotonic()
            log.error("database away, slots are queued", error=str(error), rows=self._queued)

    def _say_up(self) -> None:
        if self._down_since is not None:
            away = self._monotonic() - self._down_since
            self._down_since = None
            log.info("database back, writing the queue", away_seconds=round(away, 1), rows=self._queued)

    def _depose(self) -> None:
        self._deposed = True
        self._slots.clear()
        self._bars.clear()
        self._early.clear()
        self._queued = 0
        log.warning("another process records into this database now, recording stops", epoch=self._epoch)


def _pieces(queue: dict[int, dict[str, Entry]], newest: float) -> Iterator[list[Entry]]:
    """What began by `newest`, oldest first, in pieces of whole moments."""
    piece: list[Entry] = []
    for moment in sorted(queue):
        if moment > newest:
            break
        piece += queue[moment].values() if moment in queue else ()
        if len(piece) >= WRITE_ROWS:
            yield piece
            piece = []
    if piece:
        yield piece


def _remove(queue: dict[int, dict[str, Entry]], moment: int, ticker: str, entry: Entry) -> bool:
    """Take an entry out of the queue, unless another has taken its place."""
    of_moment = queue.get(moment, {})
    if of_moment.get(ticker) is not entry:
        return False
    del of_moment[ticker]
    if not of_moment:
        del queue[moment]
    return True
