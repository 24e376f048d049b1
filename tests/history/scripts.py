"""Generated outages: a world whose truth is known, a recorder in it that is cut and killed, and the model of both.

A script is a seed. Time is virtual; the database is real. What the recorder may have lost to a kill is known from what
the database has confirmed, everything else must be there.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from cryptomarket.errors import DatabaseUnavailable
from cryptomarket.history.backfill import Backfill, HistoryBar, Points
from cryptomarket.history.candles import MinuteBar
from cryptomarket.history.intervals import MissingReasons
from cryptomarket.history.recorder import Recorder
from cryptomarket.model import Price, Tick, Upstream, UpstreamState
from cryptomarket.simulator.charts import index_chart
from cryptomarket.simulator.market import Market
from tests.databases import StoredHistory

__all__ = ["INTERVAL", "START", "TICKERS", "Killed", "World"]

INTERVAL = 60
TICKERS = ("btc_usd", "eth_usd")
START = 1_763_668_800 - 1_763_668_800 % INTERVAL


class Killed(BaseException):
    """The process died here."""


@dataclass
class Door:
    """The way to the store, where the world can stop the recorder before or after the database has confirmed."""

    store: StoredHistory
    chance: random.Random
    away: bool = False
    deadly: bool = False
    confirmed: dict[tuple[str, int], Decimal] = field(default_factory=dict)
    #: Called between the commit and the answer: ticks arrive while the recorder waits.
    meanwhile: Callable[[], None] = lambda: None

    async def write_live(
        self, rows: Sequence[Price], epoch: int, *, bars: Sequence[MinuteBar], reasons: MissingReasons
    ) -> bool:
        """Write, unless the database is away or the process dies."""
        if self.away:
            raise DatabaseUnavailable("away")
        if self.deadly and self.chance.random() < 0.5:
            raise Killed
        leads = await self.store.write_live(rows, epoch, bars=bars, reasons=reasons)
        if leads:
            self.confirmed |= {(price.ticker, price.timestamp): price.price for price in rows}
        if self.deadly:
            raise Killed
        self.meanwhile()
        if self.chance.random() < 0.05:
            raise DatabaseUnavailable("the answer was lost")  # it was written all the same
        return leads


class World:
    """The exchange, the clocks, the recorder and the model; `play()` runs a script."""

    def __init__(self, seed: int, store: StoredHistory) -> None:
        self.chance = random.Random(seed)
        self.market = Market(seed % 1000)
        self.store = store
        self.now = float(START)  # the exchange's time, the truth
        self.wall_error = self.chance.choice([0.0, 0.0, -90.0, 3600.0])
        self.running = False
        self.connected = False
        self.expected: dict[tuple[str, int], Decimal] = {}
        self.door = Door(store, self.chance, meanwhile=self.tick_meanwhile)
        self.recorder: Recorder | None = None
        self.zombie: Recorder | None = None
        self.late: list[Tick] = []
        self.up_since = 0.0

    # --- what the world does

    async def play(self, slots: int) -> None:
        """Run through so many slots, with whatever the seed brings, and end well."""
        await self.start()
        self.connect()
        end = START + slots * INTERVAL
        while self.now < end:
            await self.happen()
            await self.pass_time(self.chance.uniform(1, 25))
        self.door.away = False
        if not self.running:
            await self.start()
        if not self.connected:
            self.connect()
        self.tick_all()
        await self.stop()

    async def happen(self) -> None:
        """One event of the script."""
        luck = self.chance.random()
        if luck < 0.03 and self.running:
            await self.kill()
        elif luck < 0.05 and self.running:
            await self.stop()
        elif luck < 0.11 and self.connected:
            self.disconnect()
        elif luck < 0.15:
            self.door.away = not self.door.away
        elif luck < 0.17:
            self.wall_error = self.chance.uniform(-7200, 7200)
        elif luck < 0.19 and self.zombie:
            await self.zombie.write(with_open=True)  # a process that was thought dead still tries
            if not self.running:  # and may, while nobody has taken over
                self.expected = dict(self.door.confirmed)
        if not self.running and self.chance.random() < 0.25:
            await self.start()
        if self.running and not self.connected and self.chance.random() < 0.25:
            self.connect()

    async def pass_time(self, seconds: float) -> None:
        """Let time go on: ticks arrive, or not, and the recorder writes now and then."""
        end = self.now + seconds
        while self.now < end:
            self.now += self.chance.uniform(0.5, 9)
            if self.running and self.connected:
                self.tick(self.chance.choice(TICKERS))
        await self.write()

    # --- the exchange

    def price(self, ticker: str, milliseconds: int) -> Decimal:
        """The one true price of a moment."""
        return Decimal(str(self.market.index_price(ticker, milliseconds)))

    def tick(self, ticker: str) -> None:
        """A tick arrives: now, twice, later than others, or with a timestamp that steps back."""
        back = self.chance.choice([0, 0, 0, 0, 0.4, 5])
        moment = int((self.now - back) * 1000)
        tick = Tick(ticker, self.price(ticker, moment), moment, epoch=1)
        luck = self.chance.random()
        if luck < 0.05:
            self.late.append(tick)
            return
        self.deliver(tick)
        if luck < 0.15:
            self.deliver(tick)
        if self.late and luck > 0.9:
            self.deliver(self.late.pop(0))

    def tick_meanwhile(self) -> None:
        """A tick while the recorder waits for the database."""
        if self.running and self.connected and self.chance.random() < 0.5:
            self.tick(self.chance.choice(TICKERS))

    def tick_all(self) -> None:
        """A tick of each ticker."""
        for ticker in TICKERS:
            moment = int(self.now * 1000)
            self.deliver(Tick(ticker, self.price(ticker, moment), moment, epoch=1))

    def deliver(self, tick: Tick) -> None:
        """The recorder hears it, and so does the model."""
        assert self.recorder is not None
        self.recorder.on_message(tick)
        self.expected[tick.ticker, tick.slot(INTERVAL)] = tick.price

    def connect(self) -> None:
        """The upstream comes up; the exchange sends the present at once."""
        assert self.recorder is not None
        self.connected = True
        self.recorder.on_message(Upstream(UpstreamState.LIVE, 0))
        self.tick_all()

    def disconnect(self) -> None:
        """The upstream is lost."""
        assert self.recorder is not None
        self.connected = False
        self.recorder.on_message(Upstream(UpstreamState.DOWN, 0, "connection lost"))

    # --- the process

    async def start(self) -> None:
        """A new process, a new leader."""
        self.running, self.connected = True, False
        self.recorder = Recorder(
            self.door,
            interval=INTERVAL,
            epoch=await self.store.take_epoch(),
            wall=lambda: self.now + self.wall_error,
            monotonic=lambda: self.now - START + 5_000,
        )
        self.recorder.on_message(Upstream(UpstreamState.CONNECTING, 0))
        self.up_since = self.now

    async def write(self) -> None:
        """What the recorder's loop does."""
        if self.running and self.recorder:
            before = dict(self.expected)
            await self.recorder.write()
            self.check_written(before)

    async def stop(self) -> None:
        """A clean stop; what the database does not take is lost with the process, and known to be."""
        assert self.recorder is not None
        await self.recorder.write(with_open=True)
        if self.recorder.statistics().queued:
            await self.recorder.write(with_open=True)
        self.lose()

    async def kill(self) -> None:
        """SIGKILL between any two steps: idle, before the commit, or after it and before anybody knew."""
        assert self.recorder is not None
        if self.chance.random() < 0.7 and not self.door.away:
            self.door.deadly = True
            try:
                await self.recorder.write(with_open=self.chance.random() < 0.3)
            except Killed:
                pass
            finally:
                self.door.deadly = False
        self.zombie = self.recorder
        self.lose()

    def lose(self) -> None:
        """The process is gone: what was not confirmed is not expected any more."""
        self.expected = dict(self.door.confirmed)
        self.running = self.connected = False
        self.late.clear()

    def check_written(self, before: dict[tuple[str, int], Decimal]) -> None:
        """With the database there, no closed slot stays in memory, but what came while it was written."""
        assert self.recorder is not None
        if self.recorder.statistics().database_down:
            return
        for key, price in before.items():
            if self.expected[key] == price and key[1] + INTERVAL + 2 < self.now - 5:
                assert self.door.confirmed.get(key) == price, f"slot {key} was closed and not written"

    # --- the exchange's past, for the backfill

    async def index_chart(self, index: str, chart_range: str) -> Points:
        """The exchange's chart of an index at this moment."""
        chart = index_chart(self.market, index, chart_range, int(self.now * 1000))
        return [(moment, Decimal(str(price))) for moment, price in chart]

    async def bars(self, instrument: str, start: int, end: int, *, minutes: int) -> Sequence[HistoryBar]:
        """No instruments here."""
        raise AssertionError(instrument)

    async def volatility(self, currency: str, start: int, end: int) -> Points:
        """No volatility here."""
        raise AssertionError(currency)

    def backfill(self) -> Backfill:
        """The backfill of this world."""
        return Backfill(self.store, self, wall=lambda: self.now)
