"""Messages of the exchange, decoded into types: the frame, prices, states of the platform.

Numbers keep the exact decimal they were written as (`8.7e3` is 8700). Unknown fields and kinds are ignored. A null, an
`"undefined"` or an `"expired"` in place of a number is read as None. It knows no socket and no clock.
"""

from decimal import Decimal
from typing import NamedTuple, TypeVar

import msgspec

from ..errors import InvalidInput, InvalidPrice
from ..model import Tick, exact_price, is_index

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

NOTHING = msgspec.Raw(b"")
_T = TypeVar("_T")

#: Timestamps (UNIX ms) outside are refused: before the exchange existed, or after the year 2100.
EARLIEST_MS, LATEST_MS = 1_400_000_000_000, 4_102_444_800_000

#: A longer wait that a peer asks for is cut, in seconds: a mistaken one must not keep us away for a day.
LONGEST_RETRY_AFTER = 300.0


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
    tick = Tick(
        ticker,
        price,
        found.timestamp,
        last=number(found.last_price),
        bid=_side(found.best_bid_price, found.best_bid_amount),
        ask=_side(found.best_ask_price, found.best_ask_amount),
    )
    return Reading(tick, found.state)


def _side(price: msgspec.Raw, amount: msgspec.Raw) -> Decimal | None:
    """The best price of a side, None for an empty side: null, or price 0.0 with amount 0.0."""
    value = number(price)
    return None if value == 0 and not number(amount) else value


def _check(ticker: str, named: str, timestamp: int) -> None:
    if named != ticker:
        raise UnreadableMessage("the data names another ticker than the channel")
    if not EARLIEST_MS <= timestamp <= LATEST_MS:
        raise UnreadableMessage("a timestamp out of range")
