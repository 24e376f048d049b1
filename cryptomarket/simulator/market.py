"""The simulated market: every price is a pure function of a seed and a time.

It has no clock: the time (UNIX ms) is an argument, so history and live prices are one curve.
"""

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from ..model import Price, Source, is_index
from .catalogue import DAY_MS, INDICES, SimulatedIndex, SimulatedInstrument, instruments_on, parse_instrument
from .random_walk import RandomWalk, key_of, noise

__all__ = ["Market"]

#: The index changes every 1007 ms on the real exchange, production and test alike (recorded 2026).
CADENCE_MS = 1007
YEAR_MS = 365 * DAY_MS
SETTLEMENT_MS = 8 * 3_600_000


class Market:
    """Prices of a seeded random walk; ``time_scale`` multiplies the rate of ticks, for load tests.

    ``lists`` says by name which instruments the exchange lists; those of ``extra`` are always listed.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        time_scale: float = 1.0,
        extra: frozenset[str] = frozenset(),
        lists: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self.seed = seed
        self.cadence_ms = max(1, round(CADENCE_MS / time_scale))
        self._time_scale = time_scale
        self._lists = lists
        self._walks = {index.coin.name: self._walk(index) for index in INDICES.values()}
        self._extra = {name: found for name in extra if (found := parse_instrument(name)) is not None}
        self._listed: tuple[int, dict[str, SimulatedInstrument]] = (-1, {})
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
        day = (now_ms - SETTLEMENT_MS) // DAY_MS
        if self._listed[0] != day:
            today = self._extra | self.instruments_of(now_ms)
            self._listed = (day, {name: found for name, found in today.items() if name not in self._expired})
        return self._listed[1]

    def expire(self, name: str, now_ms: int) -> None:
        """Expires an instrument; raises ValueError for an unknown one."""
        listed = self.instruments(now_ms)
        if name not in listed:
            raise ValueError(f"unknown instrument {name!r}")
        self._expired[name] = now_ms
        self._listed = (self._listed[0], {found: value for found, value in listed.items() if found != name})

    def instruments_of(self, moment_ms: int) -> dict[str, SimulatedInstrument]:
        """Returns the instruments listed at another moment."""
        return {name: found for name, found in instruments_on(moment_ms).items() if self._lists(name)}

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
        """Returns the mark price; of an option in its coin."""
        return self._mark(instrument, self.moment(instrument.name, now_ms), self._walks[instrument.coin])

    def _mark(self, instrument: SimulatedInstrument, moment: int, walk: RandomWalk) -> float:
        if instrument.kind == "option":
            return float(self.option(instrument, moment)["mark_price"])
        index = INDICES[instrument.price_index]
        value = self._index_value(index, moment - (moment - sum(index.name.encode())) % self.cadence_ms, walk)
        basis = noise(key_of(self.seed, instrument.name), moment // 5000) * 2e-4
        if not instrument.perpetual and instrument.kind == "future":
            basis += 0.05 * max(0, instrument.expires - moment) / YEAR_MS
        return round(value * (1 + basis), max(2, index.decimals))

    def ticker(self, instrument: SimulatedInstrument, now_ms: int) -> dict[str, Any]:
        """The fields of ``ticker.*`` and ``public/ticker`` at a moment."""
        moment = self.moment(instrument.name, now_ms)
        key = key_of(self.seed, instrument.name)
        if instrument.kind == "option":
            return self._option_ticker(instrument, moment, key)
        mark, tick = self.mark_price(instrument, now_ms), instrument.tick_size
        index = self.index_price(instrument.price_index, moment)
        bid = _on(mark * (1 + noise(key, moment // 400) * 5e-5), tick)
        day = self._of_day(instrument, moment)
        value: dict[str, Any] = {
            # Exchange timestamps are no sequence: some step back a little, as recorded.
            "timestamp": moment - (136 if noise(key + 1, moment) > 0.98 else 0),
            "state": "open",
            "stats": self._stats(instrument, mark, day),
            "index_price": index,
            "instrument_name": instrument.name,
            "last_price": _on(mark * (1 + noise(key, moment // 3000) * 8e-5), tick),
            "settlement_price": day["settlement"],
            "min_price": _on(mark * 0.985, tick),
            "max_price": _on(mark * 1.015, tick),
            "open_interest": 797_000_000 + int(noise(key, moment // 60_000) * 1e6) * 10,
            "mark_price": mark,
            "estimated_delivery_price": index,
            "best_ask_price": _on(bid + tick, tick),
            "best_bid_price": bid,
            "best_ask_amount": _amount(instrument, noise(key + 2, moment)),
            "best_bid_amount": _amount(instrument, noise(key + 3, moment)),
        }
        if instrument.perpetual:
            value["interest_value"] = noise(key, moment // 60_000) * 1e-3
            value["current_funding"] = round(max(0.0, noise(key, moment // 30_000)) * 2e-4, 8)
            value["funding_8h"] = round(noise(key, moment // 900_000) * 2e-5, 8)
        elif instrument.kind == "spot":
            for absent in ("settlement_price", "open_interest"):
                del value[absent]
        return value

    def option(self, instrument: SimulatedInstrument, moment: int) -> dict[str, Any]:
        """Returns the Black-Scholes values of an option, its price in coin."""
        key = key_of(self.seed, instrument.name)
        index = self.index_price(instrument.price_index, moment)
        years = max(instrument.expires - moment, 60_000) / YEAR_MS
        forward = index * (1 + 0.05 * years)
        strike, call = instrument.strike, instrument.option_type == "call"
        iv = 0.38 + 0.15 * min(2.0, abs(math.log(strike / forward))) + noise(key, moment // 20_000) * 0.004
        spread = iv * math.sqrt(years)
        d1 = math.log(forward / strike) / spread + spread / 2
        d2 = d1 - spread
        price = _normal(d1) - strike / forward * _normal(d2)
        density = math.exp(-d1 * d1 / 2) / math.sqrt(2 * math.pi)
        return {
            "mark_price": round(max(price if call else price - 1 + strike / forward, 0.0), 4),
            "mark_iv": round(iv * 100, 2),
            "underlying_price": round(forward, 2),
            "greeks": {
                "delta": round(_normal(d1) - (0 if call else 1), 5),
                "gamma": round(density / (forward * spread), 5),
                "vega": round(forward * density * math.sqrt(years) / 100, 5),
                "theta": round(-forward * density * iv / (2 * math.sqrt(years)) / 365, 5),
                "rho": round((strike if call else -strike) * years * _normal(d2 if call else -d2) / 100, 5),
            },
        }

    def _option_ticker(self, instrument: SimulatedInstrument, moment: int, key: int) -> dict[str, Any]:
        computed = self.option(instrument, moment)
        mark, index = computed["mark_price"], self.index_price(instrument.price_index, moment)
        wanted = mark >= 0.0005
        bid = max(_on(mark - 0.0005, 0.0005), 0.0) if wanted else 0.0
        ask = _on(mark + 0.001, 0.0005)
        traded = wanted and noise(key, moment // DAY_MS) > -0.5
        return {
            "timestamp": moment,
            "state": "open",
            "stats": {
                "high": _on(mark * 1.08, 0.0005) if traded else None,
                "low": _on(mark * 0.9, 0.0005) if traded else None,
                "price_change": round(noise(key, moment // 60_000) * 9, 4) if traded else None,
                "volume": 16.7 if traded else 0.0,
                "volume_usd": round(16.7 * mark * index, 2) if traded else 0.0,
            },
            "greeks": computed["greeks"],
            "index_price": index,
            "instrument_name": instrument.name,
            "last_price": _on(mark, 0.0005) if wanted else None,
            "settlement_price": mark,
            "min_price": max(_on(mark * 0.7, 0.0005), 0.0001),
            "max_price": _on(mark * 1.3 + 0.01, 0.0005),
            "open_interest": round(480.6 + 90 * noise(key, 0), 1),
            "mark_price": mark,
            "interest_rate": 0.0,
            "estimated_delivery_price": index,
            "best_ask_price": ask,
            "best_bid_price": bid,
            "mark_iv": computed["mark_iv"],
            "bid_iv": round(computed["mark_iv"] - 2.6, 2) if bid else 0.0,
            "ask_iv": round(computed["mark_iv"] + 2.1, 2),
            "underlying_price": computed["underlying_price"],
            "underlying_index": instrument.name.rsplit("-", 2)[0],
            "best_ask_amount": round(15 + 14 * noise(key + 2, moment), 1),
            "best_bid_amount": round(15 + 14 * noise(key + 3, moment), 1) if bid else 0.0,
        }

    def _of_day(self, instrument: SimulatedInstrument, moment: int) -> dict[str, float]:
        """Returns the extremes of the last 24 hours and the last settlement, computed every five minutes."""
        age = moment // 300_000
        kept = self._day.get(instrument.name)
        if kept is None or kept[0] != age:
            walk = self._walk(INDICES[instrument.price_index])
            marks = [self._mark(instrument, age * 300_000 - DAY_MS + step * 900_000, walk) for step in range(97)]
            settled = (moment - SETTLEMENT_MS) // DAY_MS * DAY_MS + SETTLEMENT_MS
            settlement = self._mark(instrument, settled, walk)
            kept = age, {"low": min(marks), "high": max(marks), "first": marks[0], "settlement": settlement}
            self._day[instrument.name] = kept
        return kept[1]

    def _stats(self, instrument: SimulatedInstrument, mark: float, day: dict[str, float]) -> dict[str, Any]:
        dollars = 781_497_780.0 + round(noise(key_of(self.seed, instrument.name), int(mark)) * 1e6) * 10
        return {
            "high": _on(max(day["high"], mark), instrument.tick_size),
            "low": _on(min(day["low"], mark), instrument.tick_size),
            "price_change": round((mark / day["first"] - 1) * 100, 4),
            "volume": round(dollars / mark, 8),
            "volume_usd": dollars,
            "volume_notional": dollars,
        }

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


def _on(price: float, tick: float) -> float:
    """The price on the grid of the tick size."""
    return round(round(price / tick) * tick, 6)


def _amount(instrument: SimulatedInstrument, random: float) -> float:
    size = instrument.tick_size if instrument.linear else 10.0 if instrument.coin == "btc" else 1.0
    return round(math.ceil((1 + random) * 20_000 + 1) * size, 4)


def _normal(value: float) -> float:
    """The cumulative normal distribution."""
    return (1 + math.erf(value / math.sqrt(2))) / 2
