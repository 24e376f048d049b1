"""What nodes say to each other, as bytes: a batch of messages with who speaks, for which epoch, and its number.

Pure. Prices travel as the text of their digits. What does not parse is refused as a whole.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from ...errors import InvalidInput, InvalidPrice
from ...model import Gap, GapReason, Message, SessionChanged, Tick, Upstream, UpstreamState, exact_price, plain

__all__ = ["Batch", "UnreadableBatch", "decode_batch", "decode_tick", "encode_batch", "encode_tick"]


class UnreadableBatch(InvalidInput):
    """Bytes on the bus that no node of ours wrote."""


class _Tick(msgspec.Struct, array_like=True, frozen=True, tag="t"):
    ticker: str
    price: str
    exchange_timestamp: int
    epoch: int
    sequence: int
    after: tuple[int, int]
    last: str | None = None
    bid: str | None = None
    ask: str | None = None


class _Upstream(msgspec.Struct, array_like=True, frozen=True, tag="u"):
    state: UpstreamState
    since: int
    reason: str


class _Gap(msgspec.Struct, array_like=True, frozen=True, tag="g"):
    ticker: str
    reason: GapReason


class _News(msgspec.Struct, array_like=True, frozen=True, tag="n"):
    sessions: tuple[str, ...]
    kind: str
    reason: str


_Any = _Tick | _Upstream | _Gap | _News


class _Batch(msgspec.Struct, array_like=True, frozen=True):
    node: str
    epoch: int
    number: int
    wanted: tuple[str, ...]
    messages: list[_Any]
    nodes: tuple[str, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """Messages of one node in order.

    ``epoch`` is 0 for a node that does not lead; ``number`` counts a leader's batches, so that a lost one is noticed;
    ``wanted`` are the tickers that streams of the node ask for; ``nodes`` is who a leader knows to be there.
    """

    node: str
    epoch: int
    number: int
    wanted: tuple[str, ...]
    messages: Sequence[Message]
    nodes: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(_Batch)
_tick_decoder = msgspec.json.Decoder(_Tick)


def _written(message: Message) -> _Any:
    match message:
        case Tick():
            return _tick(message)
        case Upstream():
            return _Upstream(message.state, message.since, message.reason)
        case Gap():
            return _Gap(message.ticker, message.reason)
        case SessionChanged():
            return _News(message.sessions, message.kind, message.reason)


def _tick(tick: Tick) -> _Tick:
    beside = (None if value is None else plain(value) for value in (tick.last, tick.bid, tick.ask))
    place = tick.epoch, tick.sequence, tick.after
    return _Tick(tick.ticker, plain(tick.price), tick.exchange_timestamp, *place, *beside)


def _price(text: str | None) -> Decimal | None:
    return None if text is None else exact_price(text)


def _read(found: _Any) -> Message:
    match found:
        case _Tick():
            last, bid, ask = map(_price, (found.last, found.bid, found.ask))
            price = exact_price(found.price)
            place = found.epoch, found.sequence, found.after
            return Tick(found.ticker, price, found.exchange_timestamp, last, bid, ask, *place)
        case _Upstream():
            return Upstream(found.state, found.since, found.reason)
        case _Gap():
            return Gap(found.ticker, found.reason)
        case _News():
            return SessionChanged(found.sessions, found.kind, found.reason)


def encode_batch(batch: Batch) -> bytes:
    """The batch as bytes."""
    messages = [_written(message) for message in batch.messages]
    return msgspec.json.encode(_Batch(batch.node, batch.epoch, batch.number, batch.wanted, messages, batch.nodes))


def decode_batch(data: bytes) -> Batch:
    """The batch of the bytes; raises Garbled."""
    try:
        found = _decoder.decode(data)
        messages = [_read(one) for one in found.messages]
        return Batch(found.node, found.epoch, found.number, found.wanted, messages, found.nodes)
    except (msgspec.DecodeError, InvalidPrice, RecursionError) as exc:
        raise UnreadableBatch("a batch that is none") from exc


def encode_tick(tick: Tick) -> bytes:
    """A tick as it lies on the board in Redis."""
    return msgspec.json.encode(_tick(tick))


def decode_tick(data: bytes | str) -> Tick:
    """The tick of the bytes; raises Garbled."""
    try:
        tick = _read(_tick_decoder.decode(data))
    except (msgspec.DecodeError, InvalidPrice) as exc:
        raise UnreadableBatch("a tick that is none") from exc
    assert isinstance(tick, Tick)  # noqa: S101 (the decoder has one type)
    return tick
