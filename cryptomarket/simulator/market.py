"""The simulated market: every price is a pure function of a seed and a time.

It has no clock: the time (UNIX ms) is an argument, so history and live prices are one curve.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from ..model import Price, Source, is_index
from .catalogue import DAY_MS, EXPIRY_MS, SimulatedInstrument, parse_instrument
from .indices import INDICES, SimulatedIndex
from .listings import FEW, Listings, instruments_on
from .options import YEAR_MS, option_values
from .random_walk import RandomWalk, key_of, noise

__all__ = ["Market"]

#: The index changes every 1007 ms on the real exchange, production and test alike (recorded 2026).
CADENCE_MS = 1007
#: Days whose listings are kept: those before and after a settlement, and one that a request asked for.
MOST_DAYS = 3


class Market:
    """Prices of a seeded random walk; ``time_scale`` multiplies the rate of ticks, for load tests.

    ``listings`` says how much is listed, ``lists`` by name what of it; those of ``extra`` are always listed.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        time_scale: float = 1.0,
        extra: frozenset[str] = frozenset(),
        lists: Callable[[str], bool] = lambda _: True,
        listings: Listings = FEW,
    ) -> None:
        self.seed = seed
        self._lists = lists
        self._listings = listings
        self.cadence_ms = max(1, round(CADENCE_MS / time_scale))
        self._time_scale = time_scale
        self._walks = {index.coin.name: self._walk(index) for index in INDICES.values()}
        self._extra = {name: found for name in extra if (found := parse_instrument(name)) is not None}
        #: What is listed, by day, of the last days that were asked for.
        self._listed: dict[int, dict[str, SimulatedInstrument]] = {}
        self._day: dict[str, tuple[int, dict[str, float]]] = {}
        #: Instruments that a fault expired, with the moment (UNIX ms).
        self._expired: dict[str, int] = {}

    def _walk(self, index: SimulatedIndex) -> RandomWalk:
        return RandomWalk(self.seed, index.coin.name, index.coin.volatility)

    @property
    def index_names(self) -> list[str]:
        """All price indices."""
        return list(INDICES)

    def instruments(self, now_ms: int) -> dict[str, SimulatedInstrument]:
        """Returns the listed instruments by name; those of a replayed recording are always included."""
        day = (now_ms - EXPIRY_MS) // DAY_MS
        if day not in self._listed:
            while len(self._listed) >= MOST_DAYS:
                del self._listed[min(self._listed)]
            today = self._extra | self.instruments_of(now_ms)
            self._listed[day] = {name: found for name, found in today.items() if name not in self._expired}
            self._day = {name: kept for name, kept in self._day.items() if name in today}
        return self._listed[day]

    def expire(self, name: str, now_ms: int) -> None:
        """Expires an instrument; raises ValueError for an unknown one."""
        if name not in self.instruments(now_ms):
            raise ValueError(f"unknown instrument {name!r}")
        self._expired[name] = now_ms
        for day, listed in self._listed.items():
            self._listed[day] = {found: value for found, value in listed.items() if found != name}

    def ended(self, name: str, now_ms: int) -> bool:
        """Whether the instrument was listed a day ago and is not any more, or a fault expired it."""
        if name in self.instruments(now_ms):
            return False
        return name in self._expired or name in self.instruments(now_ms - DAY_MS)

    def instruments_of(self, moment_ms: int) -> dict[str, SimulatedInstrument]:
        """Returns the instruments listed at another moment."""
        listed = instruments_on(moment_ms, self._listings)
        return {name: found for name, found in listed.items() if self._lists(name)}

    def index_tick(self, name: str, now_ms: int) -> tuple[int, float]:
        """The newest tick of an index: its time (UNIX ms) and price."""
        moment = now_ms - (now_ms - sum(name.encode())) % self.cadence_ms
        return moment, self._index_value(INDICES[name], moment, self._walks[INDICES[name].coin.name])

    def _index_value(self, index: SimulatedIndex, moment: int, walk: RandomWalk) -> float:
        cell = moment // self.cadence_ms
        # Now and then an index ticks without moving: an equal price is still a tick.
        still = noise(key_of(self.seed, index.name), cell) > 0.94
        move = walk.at(moment - self.cadence_ms if still else moment)
        return round(index.coin.base * index.ratio * math.exp(move), index.decimals)

    def index_price(self, name: str, now_ms: int) -> float:
        """The price of an index at a moment."""
        return self.index_tick(name, now_ms)[1]

    def slot_ms(self, name: str) -> int:
        """How often the ticker of an instrument may change, in ms: perpetuals often, options about once a second."""
        wait = 210 if name.endswith("PERPETUAL") else 1007 if name[-2:] in ("-C", "-P") else 430
        return self.scaled_ms(wait)

    def scaled_ms(self, ms: int) -> int:
        """Returns a duration of the market, divided by its time scale."""
        return max(1, round(ms / self._time_scale))

    def moment(self, name: str, now_ms: int) -> int:
        """When the ticker of the instrument last changed (UNIX ms): while it is the same, so is the ticker."""
        slot = self.slot_ms(name)
        now_ms = min(now_ms, self._expired.get(name, now_ms))
        return now_ms - (now_ms - sum(name.encode())) % slot

    def mark_price(self, instrument: SimulatedInstrument, now_ms: int) -> float:
        """Returns the mark price: of an inverse option in its coin, of a combo the sum of its legs."""
        return self._mark(instrument, self.moment(instrument.name, now_ms), self._walks[instrument.coin])

    def _mark(self, instrument: SimulatedInstrument, moment: int, walk: RandomWalk) -> float:
        if instrument.legs:
            return round(sum(amount * self._mark(leg, moment, walk) for amount, leg in instrument.legs), 6)
        if instrument.kind == "option":
            return float(self.option(instrument, moment)["mark_price"])
        index = INDICES[instrument.price_index]
        value = self._index_value(index, moment - (moment - sum(index.name.encode())) % self.cadence_ms, walk)
        basis = noise(key_of(self.seed, instrument.name), moment // 5000) * 2e-4
        if not instrument.perpetual and instrument.kind == "future":
            basis += 0.05 * max(0, instrument.expires - moment) / YEAR_MS
        return round(value * (1 + basis), max(2, index.decimals))

    def option(self, instrument: SimulatedInstrument, moment: int) -> dict[str, Any]:
        """Returns the price, implied volatility and greeks of an option."""
        wobble = noise(key_of(self.seed, instrument.name), moment // 20_000)
        return option_values(instrument, self.index_price(instrument.price_index, moment), moment, wobble)

    def of_day(self, instrument: SimulatedInstrument, moment: int) -> dict[str, float]:
        """Returns the extremes of the last 24 hours and the last settlement, computed every five minutes."""
        age = moment // 300_000
        kept = self._day.get(instrument.name)
        if kept is None or kept[0] != age:
            walk = self._walk(INDICES[instrument.price_index])
            marks = [self._mark(instrument, age * 300_000 - DAY_MS + step * 900_000, walk) for step in range(97)]
            settled = (moment - EXPIRY_MS) // DAY_MS * DAY_MS + EXPIRY_MS
            settlement = self._mark(instrument, settled, walk)
            kept = age, {"low": min(marks), "high": max(marks), "first": marks[0], "settlement": settlement}
            self._day[instrument.name] = kept
        return kept[1]

    def prices(self, ticker: str, start_ms: int, end_ms: int, interval: int) -> Iterator[Price]:
        """The simulated history: the last tick of every slot of ``interval`` seconds that begins in [start, end).

        An instrument that is not listed at ``end`` has none.
        """
        instrument = None if is_index(ticker) else self.instruments(end_ms).get(ticker)
        if instrument is None and ticker not in INDICES:
            return
        index = INDICES[ticker if instrument is None else instrument.price_index]
        walk, shift = self._walk(index), sum(ticker.encode())
        step = self.cadence_ms if instrument is None else self.slot_ms(ticker)
        first = -(-start_ms // 1000) + interval - 1
        for slot in range(first - first % interval, -(-end_ms // 1000), interval):
            last = (slot + interval) * 1000 - 1
            moment = last - (last - shift) % step
            value = (
                self._index_value(index, moment, walk) if instrument is None else self._mark(instrument, moment, walk)
            )
            yield Price(ticker, slot, Decimal(repr(value)), moment, Source.SIMULATED)
