"""Candles: minutes are folded from ticks and stored prices, longer candles from shorter ones. Pure functions.

Folding is exact and does not depend on the order in which rows were written: it sorts by the exchange's time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import msgspec

from ..model import Price, Tick, plain

__all__ = [
    "MINUTE",
    "RESOLUTIONS",
    "Candle",
    "CandleText",
    "MinuteBar",
    "clusters",
    "combine",
    "fold",
    "minute",
    "overlay",
]

MINUTE = 60

#: Name to seconds; each divides the next, so that a candle can be combined from those of the next shorter resolution.
RESOLUTIONS = {"1m": MINUTE, "5m": 300, "15m": 900, "1h": 3_600, "4h": 14_400, "1d": 86_400}


@dataclass(frozen=True, slots=True)
class MinuteBar:
    """The ticks of one minute that one leader received; `first` and `last` are exchange timestamps in UNIX ms.

    `part` numbers the bars of a leader: ticks that arrive after their minute was written make a bar of their own.
    """

    ticker: str
    timestamp: int
    epoch: int
    part: int
    first: int
    last: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    count: int

    @classmethod
    def of(cls, tick: Tick, epoch: int, part: int) -> "MinuteBar":
        """The bar of a single tick."""
        moment, price = tick.exchange_timestamp, tick.price
        return cls(tick.ticker, minute(moment), epoch, part, moment, moment, price, price, price, price, 1)

    @classmethod
    def of_row(cls, row: Price) -> "MinuteBar":
        """A stored price as a bar of one tick."""
        moment, price = row.exchange_timestamp, row.price
        return cls(row.ticker, minute(moment), row.epoch, 0, moment, moment, price, price, price, price, 1)

    def with_tick(self, tick: Tick) -> "MinuteBar":
        """The bar with one more tick, the last to arrive."""
        moment, price = tick.exchange_timestamp, tick.price
        return MinuteBar(
            self.ticker,
            self.timestamp,
            self.epoch,
            self.part,
            min(self.first, moment),
            max(self.last, moment),
            self.open,
            max(self.high, price),
            min(self.low, price),
            price,
            self.count + 1,
        )


@dataclass(frozen=True, slots=True)
class Candle:
    """Open, high, low and close of an interval that begins at `timestamp` (UNIX seconds), from `count` prices."""

    timestamp: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    count: int


class CandleText(msgspec.Struct, frozen=True):
    """A candle as it is read and sent: prices are text with every digit, because nothing is computed with them."""

    timestamp: int
    open: str
    high: str
    low: str
    close: str
    count: int
    partial: bool = False

    @classmethod
    def of(cls, candle: Candle, partial: bool) -> "CandleText":
        """The candle as text."""
        prices = (plain(candle.open), plain(candle.high), plain(candle.low), plain(candle.close))
        return cls(candle.timestamp, *prices, candle.count, partial)

    def exact(self) -> Candle:
        """The candle with prices as decimals."""
        prices = (Decimal(self.open), Decimal(self.high), Decimal(self.low), Decimal(self.close))
        return Candle(self.timestamp, *prices, self.count)

    def json(self) -> str:
        """The candle as JSON with every digit; `partial` is there when missing or future time is in it."""
        partial = ',"partial":true' if self.partial else ""
        return (
            f'{{"timestamp":{self.timestamp},"open":{self.open},"high":{self.high},'
            f'"low":{self.low},"close":{self.close},"count":{self.count}{partial}}}'
        )


def minute(milliseconds: int) -> int:
    """The start of the minute of a moment (UNIX ms), UNIX seconds."""
    seconds = milliseconds // 1000
    return seconds - seconds % MINUTE


def fold(timestamp: int, bars: Iterable[MinuteBar], rows: Iterable[Price]) -> Candle | None:
    """The candle of a minute from its bars and stored prices; None when there are none.

    Skips stored prices inside a bar's span; the bar already counts them.
    """
    heard = list(bars)
    parts = heard + [
        MinuteBar.of_row(row)
        for row in rows
        if not any(bar.first <= row.exchange_timestamp <= bar.last for bar in heard)
    ]
    if not parts:
        return None
    if len(parts) == 1:  # nearly always
        only = parts[0]
        return Candle(timestamp, only.open, only.high, only.low, only.close, only.count)
    opening = min(parts, key=lambda part: (part.first, part.epoch, part.part))
    closing = max(parts, key=lambda part: (part.last, part.epoch, -part.part))
    return Candle(
        timestamp,
        opening.open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        closing.close,
        sum(part.count for part in parts),
    )


def combine(timestamp: int, parts: Sequence[Candle]) -> Candle:
    """One longer candle from at least one shorter candle, in any order."""
    ordered = sorted(parts, key=lambda part: part.timestamp)
    return Candle(
        timestamp,
        ordered[0].open,
        max(part.high for part in ordered),
        min(part.low for part in ordered),
        ordered[-1].close,
        sum(part.count for part in ordered),
    )


def overlay(found: Sequence[CandleText], bars: Iterable[MinuteBar], seconds: int) -> list[CandleText]:
    """Stored candles with the bars that are not stored yet, oldest first; a candle with such a bar is partial."""
    whole = {candle.timestamp: candle for candle in found}
    of_minute: dict[int, list[MinuteBar]] = {}
    for bar in bars:
        of_minute.setdefault(bar.timestamp, []).append(bar)
    for moment in sorted(of_minute):
        bucket = moment - moment % seconds
        stored = whole.get(bucket)
        parts = [fold(moment, of_minute[moment], ()), stored.exact() if stored else None]
        whole[bucket] = CandleText.of(combine(bucket, [part for part in parts[::-1] if part is not None]), True)
    return [whole[moment] for moment in sorted(whole)]


def clusters(moments: Iterable[int], apart: int) -> list[tuple[int, int]]:
    """Moments as (first, last) of groups that are more than `apart` seconds from each other, for one query each."""
    groups: list[tuple[int, int]] = []
    for moment in sorted(moments):
        if groups and moment - groups[-1][1] <= apart:
            groups[-1] = (groups[-1][0], moment)
        else:
            groups.append((moment, moment))
    return groups
