"""The values everything else speaks of: a tick, its place in the sequence, the state of upstream.

Plain values that cannot be wrong, and the one JSON form of a price. It knows nobody: no socket, no clock, no room.
"""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from .errors import InvalidPrice

__all__ = [
    "Gap",
    "GapReason",
    "Message",
    "Price",
    "Rhythm",
    "SessionChanged",
    "Source",
    "Tick",
    "Upstream",
    "UpstreamState",
    "exact_price",
    "is_index",
    "plain",
    "price_json",
]

#: More digits than any exchange prints; a longer number is an attack or a broken frame.
PRICE_DIGITS = 36


def exact_price(text: str) -> Decimal:
    """Read a JSON number as the exact decimal it says: ``8.7e3`` is 8700, not a binary float.

    Raises InvalidPrice for what is not finite or has more than 36 digits before or after the point.
    """
    try:
        price = Decimal(text)
    except ArithmeticError as exc:
        raise InvalidPrice(f"not a number: {text[:40]!r}") from exc
    if not price.is_finite():
        raise InvalidPrice(f"not finite: {text[:40]!r}")
    _, digits, exponent = price.as_tuple()
    if len(digits) > PRICE_DIGITS or not -PRICE_DIGITS <= int(exponent) <= PRICE_DIGITS - len(digits):
        raise InvalidPrice(f"more than {PRICE_DIGITS} digits: {text[:40]!r}")
    # 8.7e3 and 8700 are one value: kept without an exponent from here on, so that databases and str() agree.
    return price if int(exponent) <= 0 else Decimal(plain(price))


def plain(price: Decimal) -> str:
    """The price as digits: never an exponent, never a rounding."""
    return format(price, "f")


def is_index(ticker: str) -> bool:
    """Whether the ticker names an index (``btc_usd``); instruments are written in capitals (``BTC-PERPETUAL``)."""
    return ticker == ticker.lower()


@dataclass(frozen=True, slots=True)
class Tick:
    """One price of one ticker at one exchange timestamp (UNIX ms).

    ``last``, ``bid`` and ``ask`` stand beside the price (the mark) of an instrument and may be missing.
    ``epoch`` and ``sequence`` are its place in the stream, given by the bus; (0, 0) is not yet published. ``after``
    is the last place that its leader had heard of before it led.
    """

    ticker: str
    price: Decimal
    exchange_timestamp: int
    last: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    epoch: int = 0
    sequence: int = 0
    after: tuple[int, int] = (0, 0)

    @property
    def id(self) -> str:
        """``<epoch>-<sequence>``, the same on every node."""
        return f"{self.epoch}-{self.sequence}"

    @property
    def timestamp(self) -> int:
        """The second of the tick, UNIX."""
        return self.exchange_timestamp // 1000

    def slot(self, interval: int) -> int:
        """The start of the slot of ``interval`` seconds that the tick falls into, UNIX seconds."""
        return self.timestamp - self.timestamp % interval

    def at(self, epoch: int, sequence: int, after: tuple[int, int] = (0, 0)) -> "Tick":
        """The same tick at its place in the stream."""
        return replace(self, epoch=epoch, sequence=sequence, after=after)

    def follows(self, epoch: int, sequence: int) -> bool:
        """Whether nothing is missing between the tick at that place and this one, as far as its leader knows.

        The sequence leaves nothing out, whoever leads: a leader goes on where it heard the last one end.
        """
        if self.epoch <= epoch:
            return self.epoch < epoch or self.sequence <= sequence + 1
        before, ended = self.after
        return before == epoch and ended <= sequence and self.sequence == ended + 1

    def json(self) -> str:
        """The one JSON form of a price; an instrument adds last, bid and ask."""
        text = price_json(self.ticker, self.price, self.timestamp, self.exchange_timestamp)
        if is_index(self.ticker):
            return text
        beside = ",".join(
            f'"{name}":{"null" if value is None else plain(value)}'
            for name, value in (("last", self.last), ("bid", self.bid), ("ask", self.ask))
        )
        return f"{text[:-1]},{beside}}}"


class Source(StrEnum):
    """Where a stored price comes from."""

    LIVE = "live"
    BACKFILL = "backfill"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Price:
    """One stored price: the last tick of one slot. ``timestamp`` is the slot in UNIX seconds."""

    ticker: str
    timestamp: int
    price: Decimal
    exchange_timestamp: int
    source: str = Source.LIVE
    epoch: int = 0

    def json(self) -> str:
        """The one JSON form of a price."""
        return price_json(self.ticker, self.price, self.timestamp, self.exchange_timestamp)


def price_json(ticker: str, price: Decimal, timestamp: int, exchange_timestamp: int) -> str:
    """The one JSON form of a price, in REST and on the stream, with every digit it came with."""
    return (
        f'{{"ticker":{json.dumps(ticker)},"price":{plain(price)},'
        f'"timestamp":{timestamp},"exchange_timestamp":{exchange_timestamp}}}'
    )


class UpstreamState(StrEnum):
    """What a browser is told of the way to the exchange."""

    LIVE = "live"
    CONNECTING = "connecting"
    STALE = "stale"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A state of the upstream connection since a moment (UNIX ms); ``reason`` is a sentence for operators."""

    state: UpstreamState
    since: int
    reason: str = ""


class GapReason(StrEnum):
    """Why a stream could not be continued or a ticker not be delivered."""

    TOO_OLD = "too_old"
    UNKNOWN = "unknown"
    EPOCH = "epoch"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Gap:
    """A ticker that the exchange refuses to send, told to those who asked for it."""

    ticker: str
    reason: GapReason = GapReason.REFUSED


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """Something changed for the person of these browser sessions; each node that has their streams looks what.

    It names sessions by their fingerprints and carries nothing private. ``reason`` is a sentence for the person. One
    without sessions says that news may have been lost, anybody's.
    """

    sessions: tuple[str, ...]
    kind: str
    reason: str = ""


#: What travels on the bus, from the leader to every node.
Message = Tick | Upstream | Gap | SessionChanged


class Receiver(Protocol):
    """Takes what the bus delivers; it never waits and never fails for a message it does not care about."""

    def __call__(self, message: Message, /) -> None: ...


@dataclass(slots=True)
class Rhythm:
    """How often something speaks, learned from its own pauses (monotonic seconds).

    Silence longer than five of its usual pauses, and than three seconds, is stale. A pause counts at most as
    the limit in force, so that one outage is not learned as the new rhythm, yet a slower channel is after a while.
    """

    shortest_seconds: float = 3.0
    factor: float = 5.0
    usual_pause: float | None = None
    last: float | None = None

    def beat(self, now: float) -> None:
        """Something arrived."""
        if self.last is not None:
            pause = min(now - self.last, self.limit)
            self.usual_pause = pause if self.usual_pause is None else self.usual_pause + (pause - self.usual_pause) / 8
        self.last = now

    @property
    def limit(self) -> float:
        """The longest silence that is still usual, in seconds."""
        return max(self.shortest_seconds, self.factor * (self.usual_pause or 0.0))

    def overdue(self, now: float) -> bool:
        """Whether the silence is longer than usual; before the first beat nothing is."""
        return self.last is not None and now - self.last > self.limit
