"""Messages of the exchange, decoded into types: the frame, prices and what is beside them, states of the platform.

Numbers keep the exact decimal they were written as (`8.7e3` is 8700). Unknown fields and kinds are ignored. A null, an
`"undefined"` or an `"expired"` in place of a number is read as None. It knows no socket and no clock.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

import msgspec

from ..errors import InvalidInput, InvalidPrice
from ..fields import FieldValues, is_plain
from ..model import PRICE_DIGITS, Tick, exact_price, is_index, plain

__all__ = [
    "LONGEST_RETRY_AFTER",
    "ErrorBody",
    "Frame",
    "IndexData",
    "InstrumentState",
    "PlatformState",
    "PublicMethods",
    "Reading",
    "TickerData",
    "UnreadableMessage",
    "decode_as",
    "decode_frame",
    "number",
    "read_price",
]

NOTHING, NULL = msgspec.Raw(b""), msgspec.Raw(b"null")
_T = TypeVar("_T")

#: Timestamps (UNIX ms) outside are refused: before the exchange existed, or after the year 2100.
EARLIEST_MS, LATEST_MS = 1_400_000_000_000, 4_102_444_800_000

#: A longer wait that a peer asks for is cut, in seconds: a mistaken one must not keep us away for a day.
LONGEST_RETRY_AFTER = 300.0
#: The values of a group with more characters are read one by one.
USUAL_CHARACTERS = 200


class UnreadableMessage(InvalidInput):
    """A message, or a part of one, in another shape than Deribit documents; its sentence never contains the data."""


class Params(msgspec.Struct, frozen=True, gc=False):
    """``params`` of a notification: a channel with its data, or the type of a heartbeat."""

    channel: str = ""
    data: msgspec.Raw = NOTHING
    type: str = ""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One message of the exchange. ``result`` and ``error`` stay raw until the request they answer is known."""

    jsonrpc: str
    id: int | str | None = None
    method: str = ""
    params: Params | None = None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    us_out: msgspec.Raw = msgspec.field(name="usOut", default=NOTHING)

    @property
    def answered_us(self) -> int | None:
        """The exchange's time of an answer (UNIX us), None where it has none that can be true."""
        stamp = number(self.us_out)
        return int(stamp) if stamp is not None and EARLIEST_MS <= stamp / 1000 <= LATEST_MS else None


class ErrorBody(msgspec.Struct, frozen=True):
    """``error`` of an answer; ``data`` can hold the parameter at fault and a reason, or anything else."""

    code: int = 0
    message: str = ""
    data: msgspec.Raw = NOTHING

    @property
    def reason(self) -> str:
        """The parameter and the reason, as far as ``data`` has them."""
        found = self._details()
        return " ".join(str(found[key])[:80] for key in ("param", "reason") if key in found)

    @property
    def retry_after(self) -> float:
        """The seconds to wait that ``data`` asks for, at most `LONGEST_RETRY_AFTER`; 0 when it asks for none."""
        found = self._details()
        for key, unit in (("retry_after", 1.0), ("retry_after_ms", 1e-3)):
            value = found.get(key)
            if isinstance(value, int | float) and value > 0:
                return min(value * unit, LONGEST_RETRY_AFTER)
        return 0.0

    def _details(self) -> dict[str, object]:
        try:
            return msgspec.json.decode(self.data, type=dict[str, object]) if self.data else {}
        except (msgspec.MsgspecError, RecursionError):
            return {}


class IndexData(msgspec.Struct, frozen=True, gc=False):
    """``data`` of ``deribit_price_index.<name>``."""

    timestamp: int
    price: msgspec.Raw = NOTHING
    index_name: str = ""


class TickerData(msgspec.Struct, frozen=True, gc=False):
    """``data`` of ``ticker.<instrument>.<interval>``, and the result of ``public/ticker``, as far as we use it."""

    timestamp: int
    instrument_name: str = ""
    state: str = ""
    mark_price: msgspec.Raw = NOTHING
    last_price: msgspec.Raw = NOTHING
    best_bid_price: msgspec.Raw = NOTHING
    best_bid_amount: msgspec.Raw = NOTHING
    best_ask_price: msgspec.Raw = NOTHING
    best_ask_amount: msgspec.Raw = NOTHING
    index_price: msgspec.Raw = NOTHING
    underlying_price: msgspec.Raw = NOTHING
    open_interest: msgspec.Raw = NOTHING
    current_funding: msgspec.Raw = NOTHING
    funding_8h: msgspec.Raw = NOTHING
    mark_iv: msgspec.Raw = NOTHING
    bid_iv: msgspec.Raw = NOTHING
    ask_iv: msgspec.Raw = NOTHING
    stats: msgspec.Raw = NOTHING
    greeks: msgspec.Raw = NOTHING


class _Stats(msgspec.Struct, frozen=True, gc=False):
    """``stats`` of a ticker."""

    price_change: msgspec.Raw = NOTHING
    high: msgspec.Raw = NOTHING
    low: msgspec.Raw = NOTHING
    volume: msgspec.Raw = NOTHING
    volume_usd: msgspec.Raw = NOTHING
    volume_notional: msgspec.Raw = NOTHING


class _Greeks(msgspec.Struct, frozen=True, gc=False):
    """``greeks`` of the ticker of an option."""

    delta: msgspec.Raw = NOTHING
    gamma: msgspec.Raw = NOTHING
    vega: msgspec.Raw = NOTHING
    theta: msgspec.Raw = NOTHING
    rho: msgspec.Raw = NOTHING


class PlatformState(msgspec.Struct, frozen=True):
    """``data`` of ``platform_state``: one index is locked or not, or the whole platform is in maintenance."""

    price_index: str = ""
    locked: bool | None = None
    maintenance: bool | None = None


class PublicMethods(msgspec.Struct, frozen=True):
    """``data`` of ``platform_state.public_methods_state``."""

    allow_unauthenticated_public_requests: bool = True


class InstrumentState(msgspec.Struct, frozen=True):
    """``data`` of ``instrument.state.<kind>.<currency>``; the states are open-ended."""

    instrument_name: str
    state: str = ""
    timestamp: int = 0


_frames = msgspec.json.Decoder(Frame)
_indices = msgspec.json.Decoder(IndexData)
_tickers = msgspec.json.Decoder(TickerData)
_stats = msgspec.json.Decoder(_Stats)
_greeks = msgspec.json.Decoder(_Greeks)
_NO_STATS, _NO_GREEKS = _Stats(), _Greeks()


def decode_frame(text: str | bytes) -> Frame:
    """The frame in a text; raises UnreadableMessage for anything but a JSON-RPC 2.0 object."""
    try:
        # The decoder does not check the encoding of fields that it skips: a damaged frame must not pass.
        frame = _frames.decode(text if isinstance(text, str) else text.decode())
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise UnreadableMessage(f"not a JSON-RPC object: {type(exc).__name__}") from None
    if frame.jsonrpc != "2.0":
        raise UnreadableMessage("not JSON-RPC 2.0")
    return frame


def decode_as(kind: type[_T], raw: msgspec.Raw | bytes) -> _T:
    """The raw JSON as the given type; raises UnreadableMessage, which names the type, when it has another shape."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise UnreadableMessage(f"no {getattr(kind, '__name__', kind)}: {type(exc).__name__}") from None


def number(raw: msgspec.Raw | bytes) -> Decimal | None:
    """The exact decimal of a raw JSON number; None for anything else, and for more digits than a price has."""
    text = bytes(raw)
    if text[:1] not in b"-0123456789" or not text:
        return None
    try:
        return exact_price(text.decode())
    except InvalidPrice:
        return None


class Reading(NamedTuple):
    """The content of a price notification: the tick, if it has a price, and the state of an instrument."""

    tick: Tick | None
    state: str = ""


def read_price(ticker: str, data: msgspec.Raw | bytes) -> Reading:
    """Read the data of the channel that carries the ticker.

    Raises UnreadableMessage when the data has another shape than documented, or names another ticker.
    """
    return _read_index(ticker, data) if is_index(ticker) else _read_instrument(ticker, data)


def _read_index(ticker: str, data: msgspec.Raw | bytes) -> Reading:
    try:
        index = _indices.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise UnreadableMessage(f"no index price: {type(exc).__name__}") from None
    _check(ticker, index.index_name, index.timestamp)
    price = number(index.price)
    # An index is an average of prices paid: zero and less come from a broken frame.
    return Reading(Tick(ticker, price, index.timestamp) if price is not None and price > 0 else None)


def _read_instrument(ticker: str, data: msgspec.Raw | bytes) -> Reading:
    try:
        found = _tickers.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise UnreadableMessage(f"no ticker: {type(exc).__name__}") from None
    _check(ticker, found.instrument_name, found.timestamp)
    price = number(found.mark_price)  # of a combo it may be negative
    if price is None:
        return Reading(None, found.state)
    bid = _side(found.best_bid_price, found.best_bid_amount)
    ask = _side(found.best_ask_price, found.best_ask_amount)
    fields = _fields(found, has_bid=bid is not None, has_ask=ask is not None)
    tick = Tick(ticker, price, found.timestamp, number(found.last_price), bid, ask, fields=fields)
    return Reading(tick, found.state)


def _fields(found: TickerData, *, has_bid: bool, has_ask: bool) -> FieldValues:
    """The values of each of `FIELD_GROUPS`; those that cannot be read are null, as they must not cost the price."""
    bid = found.best_bid_price if has_bid else NULL
    ask = found.best_ask_price if has_ask else NULL
    stats, greeks = _read_or(_stats, found.stats, _NO_STATS), _read_or(_greeks, found.greeks, _NO_GREEKS)
    volatility = found.mark_iv, found.bid_iv, found.ask_iv
    volumes = stats.volume, stats.volume_usd, stats.volume_notional
    return (
        _group((found.last_price, bid, ask, found.best_bid_amount, found.best_ask_amount)),
        _group((stats.price_change, stats.high, stats.low, *volumes)),
        _group((*volatility, greeks.delta, greeks.gamma, greeks.vega, greeks.theta, greeks.rho)),
        _group((found.current_funding, found.funding_8h)),
        _group((found.open_interest, found.index_price, found.underlying_price)),
    )


def _read_or(decoder: msgspec.json.Decoder[_T], raw: msgspec.Raw, default: _T) -> _T:
    try:
        return decoder.decode(raw) if raw else default
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return default


def _group(values: Sequence[msgspec.Raw]) -> str | None:
    """The values as the text of a group, None when the exchange sent none of them."""
    if not any(values):
        return None
    text = b",".join(values)
    if all(values) and is_plain(text) and len(text) <= USUAL_CHARACTERS:
        return text.decode()
    return ",".join(map(_plain_text, values))


def _plain_text(raw: msgspec.Raw) -> str:
    """The raw JSON value as a plain number, digit for digit, or ``null`` where `number` finds none."""
    text = bytes(raw)
    if text and is_plain(text) and len(text) <= PRICE_DIGITS:
        return text.decode()
    value = number(text)
    return "null" if value is None else plain(value)


def _side(price: msgspec.Raw, amount: msgspec.Raw) -> Decimal | None:
    """The best price of a side, None for an empty side: null, or price 0.0 with amount 0.0."""
    value = number(price)
    return None if value == 0 and not number(amount) else value


def _check(ticker: str, named: str, timestamp: int) -> None:
    if named != ticker:
        raise UnreadableMessage("the data names another ticker than the channel")
    if not EARLIEST_MS <= timestamp <= LATEST_MS:
        raise UnreadableMessage("a timestamp out of range")
