"""The values that all rooms share: ticks, stored prices, the state of upstream, and the messages of the bus.

Frozen values, and the one JSON form of a price. It imports nothing but our errors and the groups of fields, and knows
no socket and no clock.
"""

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from .errors import InvalidPrice
from .fields import NO_FIELDS, Fields, FieldValues, fields_json

__all__ = [
    "Gap",
    "GapReason",
    "Instrument",
    "InstrumentChanged",
    "LoginsWaiting",
    "Message",
    "Price",
    "Rhythm",
    "SessionChanged",
    "Source",
    "Tick",
    "Upstream",
    "UpstreamState",
    "WaitingLogin",
    "exact_price",
    "is_index",
    "plain",
    "price_json",
]

#: More digits than any exchange sends; a longer number is an attack or a broken frame.
PRICE_DIGITS = 36


def exact_price(text: str) -> Decimal:
    """Parse a JSON number as an exact decimal: ``8.7e3`` is 8700, and never a binary float.

    Raises InvalidPrice when it is not finite or has more than 36 digits before or after the point.
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
    # 8.7e3 and 8700 are one value. Without an exponent, databases and str() agree on it.
    return price if int(exponent) <= 0 else Decimal(plain(price))


def plain(price: Decimal) -> str:
    """The price as plain digits, without exponent and without rounding."""
    return format(price, "f")


def is_index(ticker: str) -> bool:
    """Whether the ticker names an index (``btc_usd``); instruments are written in capitals (``BTC-PERPETUAL``)."""
    return ticker == ticker.lower()


@dataclass(frozen=True, slots=True)
class Tick:
    """One price of one ticker at one exchange timestamp (UNIX ms).

    The ``price`` of an instrument is its mark price; ``last``, ``bid`` and ``ask`` are None for an index, and where the
    exchange sent none. The bus sets ``epoch`` and ``sequence``; before that both are 0. ``after``: the last (epoch,
    sequence) the leader had seen before it took over. ``fields``: the values of its groups, empty for an index.
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
    fields: FieldValues = ()

    @property
    def id(self) -> str:
        """``<epoch>-<sequence>``, the same on every node."""
        return f"{self.epoch}-{self.sequence}"

    @property
    def timestamp(self) -> int:
        """The exchange timestamp in UNIX seconds."""
        return self.exchange_timestamp // 1000

    def slot(self, interval: int) -> int:
        """The start of the slot of ``interval`` seconds that the tick falls into, UNIX seconds."""
        return self.timestamp - self.timestamp % interval

    def at(self, epoch: int, sequence: int, after: tuple[int, int] = (0, 0)) -> "Tick":
        """The same tick with its place in the stream."""
        return replace(self, epoch=epoch, sequence=sequence, after=after)

    def follows(self, epoch: int, sequence: int) -> bool:
        """Whether no tick is missing between the one at that place and this one, as far as its leader knows.

        Sequences have no holes: a new leader continues after the last sequence it has seen of the one before.
        """
        if self.epoch <= epoch:
            return self.epoch < epoch or self.sequence <= sequence + 1
        before, ended = self.after
        return before == epoch and ended <= sequence and self.sequence == ended + 1

    def json(self, fields: Fields = NO_FIELDS) -> str:
        """The one JSON form of a price, with ``last``, ``bid``, ``ask`` and the groups ``fields`` for an instrument."""
        text = price_json(self.ticker, self.price, self.timestamp, self.exchange_timestamp)
        if is_index(self.ticker):
            return text
        beside = ",".join(
            f'"{name}":{_number_json(value)}'
            for name, value in (("last", self.last), ("bid", self.bid), ("ask", self.ask))
        )
        return f"{text[:-1]},{beside}{fields_json(self.fields, fields)}}}"


class Source(StrEnum):
    """The source of a stored price."""

    LIVE = "live"
    BACKFILL = "backfill"
    SNAPSHOT = "snapshot"
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
    """The one JSON form of a price, in REST and on the stream, with every digit that the exchange sent."""
    return (
        f'{{"ticker":{json.dumps(ticker)},"price":{plain(price)},'
        f'"timestamp":{timestamp},"exchange_timestamp":{exchange_timestamp}}}'
    )


class UpstreamState(StrEnum):
    """The states of the connection to the exchange, as browsers receive them."""

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
    """Why a stream cannot resume or a ticker cannot be delivered."""

    TOO_OLD = "too_old"
    UNKNOWN = "unknown"
    EPOCH = "epoch"
    REFUSED = "refused"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Gap:
    """A ticker that the exchange refuses to send, or that is not followed; streams that want it receive a gap event."""

    ticker: str
    reason: GapReason = GapReason.REFUSED


@dataclass(frozen=True, slots=True)
class Instrument:
    """What the exchange says of an instrument it lists; its words are open-ended, and empty where it sent none.

    ``unit``: the currency that prices are counted in. ``expiry`` (UNIX seconds) is None for what never expires.
    ``strike`` and ``option_type`` are those of an option. ``contract_size``: the least amount of one contract.
    """

    name: str
    kind: str
    price_index: str
    unit: str
    expiry: int | None
    strike: Decimal | None
    option_type: str
    contract_size: Decimal | None
    tick_size: Decimal | None

    def json(self) -> str:
        """The one JSON form of an instrument: numbers with every digit, null where the exchange sent nothing."""
        return (
            f'{{"ticker":{json.dumps(self.name)},"kind":{_word_json(self.kind)},'
            f'"price_index":{_word_json(self.price_index)},"unit":{_word_json(self.unit)},'
            f'"expiry":{"null" if self.expiry is None else self.expiry},"strike":{_number_json(self.strike)},'
            f'"option_type":{_word_json(self.option_type)},"contract_size":{_number_json(self.contract_size)},'
            f'"tick_size":{_number_json(self.tick_size)}}}'
        )


@lru_cache(maxsize=1024)  # a page has a thousand instruments and a dozen words
def _word_json(word: str) -> str:
    return json.dumps(word or None)


def _number_json(number: Decimal | None) -> str:
    return "null" if number is None else plain(number)


@dataclass(frozen=True, slots=True)
class InstrumentChanged:
    """The exchange listed an instrument, or ended it for good; ``instrument`` where it sent the whole of it."""

    ticker: str
    listed: bool
    instrument: Instrument | None = None


@dataclass(frozen=True, slots=True)
class SessionChanged:
    """Tells nodes to reload the login state of these browser sessions, which are named by their fingerprints.

    It carries nothing private; ``reason`` is a sentence for the person. Without sessions it means that messages may
    have been lost: nodes then reload all of theirs.
    """

    sessions: tuple[str, ...]
    kind: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WaitingLogin:
    """A login that waits for its turn, place 1 being the next, which comes in about ``seconds``.

    Its secret may live ``life_seconds`` from now on while the browser session has a stream.
    """

    login_id: str
    session: str
    place: int
    seconds: int
    life_seconds: float


@dataclass(frozen=True, slots=True)
class LoginsWaiting:
    """Logins that wait, some or all."""

    logins: tuple[WaitingLogin, ...]


#: What travels on the bus, from the leader to every node.
Message = Tick | Upstream | Gap | InstrumentChanged | SessionChanged | LoginsWaiting


class Receiver(Protocol):
    """Receives the messages of the bus. It never waits, and ignores the messages it has no use for."""

    def __call__(self, message: Message, /) -> None: ...


@dataclass(slots=True)
class Rhythm:
    """The usual pause between arrivals, learned as they come (monotonic seconds).

    Silence longer than ``factor`` usual pauses and than ``shortest_seconds`` is overdue. A pause counts at most as the
    limit in force: one outage is not learned as the new rhythm, while a channel that slows down is after a while.
    """

    shortest_seconds: float = 3.0
    factor: float = 5.0
    usual_pause: float | None = None
    last: float | None = None

    def beat(self, now: float, *, whole: bool = False) -> None:
        """Record an arrival; ``whole``: the pause is known to be no outage, and counts in full from now on."""
        if self.last is not None:
            pause = now - self.last if whole else min(now - self.last, self.limit)
            if whole:
                self.usual_pause = max(pause, self.usual_pause or 0.0)
            self.usual_pause = pause if self.usual_pause is None else self.usual_pause + (pause - self.usual_pause) / 8
        self.last = now

    @property
    def limit(self) -> float:
        """The longest silence that is not overdue, in seconds."""
        return max(self.shortest_seconds, self.factor * (self.usual_pause or 0.0))

    def overdue(self, now: float) -> bool:
        """Whether the silence is longer than the limit; never before the first arrival."""
        return self.last is not None and now - self.last > self.limit
