"""Batches of messages and single ticks as bytes, and back. Pure.

Prices are encoded as the text of their digits. Bytes that do not parse are refused as a whole.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from ...errors import InvalidInput, InvalidPrice
from ...fields import checked_values
from ...model import (
    Gap,
    GapReason,
    Instrument,
    InstrumentChanged,
    LoginsWaiting,
    Message,
    SessionChanged,
    Tick,
    Upstream,
    UpstreamState,
    WaitingLogin,
    exact_price,
    plain,
)

__all__ = ["Batch", "UnreadableBatch", "decode_batch", "decode_tick", "encode_batch", "encode_tick"]


class UnreadableBatch(InvalidInput):
    """Bytes from Redis that no node wrote."""


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
    fields: tuple[str | None, ...] = ()


class _Upstream(msgspec.Struct, array_like=True, frozen=True, tag="u"):
    state: UpstreamState
    since: int
    reason: str


class _Gap(msgspec.Struct, array_like=True, frozen=True, tag="g"):
    ticker: str
    reason: GapReason


class _Instrument(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    price_index: str
    unit: str
    expiry: int | None
    strike: str | None
    option_type: str
    contract_size: str | None
    tick_size: str | None


class _InstrumentChanged(msgspec.Struct, array_like=True, frozen=True, tag="i"):
    ticker: str
    listed: bool
    instrument: _Instrument | None


class _SessionChanged(msgspec.Struct, array_like=True, frozen=True, tag="n"):
    sessions: tuple[str, ...]
    kind: str
    reason: str


class _LoginsWaiting(msgspec.Struct, array_like=True, frozen=True, tag="w"):
    logins: list[tuple[str, str, int, int, float]]


_Encoded = _Tick | _Upstream | _Gap | _InstrumentChanged | _SessionChanged | _LoginsWaiting


class _Batch(msgspec.Struct, array_like=True, frozen=True):
    node: str
    sent: int
    epoch: int
    number: int
    wanted: dict[str, int]
    messages: list[_Encoded]
    nodes: tuple[str, ...] = ()


class Batch(msgspec.Struct, frozen=True):
    """Messages of one node in order; ``node`` is empty for those of a command.

    ``sent`` (UNIX µs) is higher than in every earlier batch of the node. ``epoch`` is 0 for a node that does not lead.
    ``number`` counts a leader's batches, so that a lost one is noticed.
    ``wanted``: the tickers that streams of the node want, with their ranks. ``nodes``: the names that a leader
    announces, or empty.
    """

    node: str
    sent: int
    epoch: int
    number: int
    wanted: Mapping[str, int]
    messages: Sequence[Message]
    nodes: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(_Batch)
_tick_decoder = msgspec.json.Decoder(_Tick)


def _encoded(message: Message) -> _Encoded:
    match message:
        case Tick():
            return _tick(message)
        case Upstream():
            return _Upstream(message.state, message.since, message.reason)
        case Gap():
            return _Gap(message.ticker, message.reason)
        case InstrumentChanged():
            return _InstrumentChanged(message.ticker, message.listed, _instrument(message.instrument))
        case SessionChanged():
            return _SessionChanged(message.sessions, message.kind, message.reason)
        case LoginsWaiting():
            return _LoginsWaiting(
                [(one.login_id, one.session, one.place, one.seconds, one.life_seconds) for one in message.logins]
            )


def _tick(tick: Tick) -> _Tick:
    last, bid, ask = map(_digits, (tick.last, tick.bid, tick.ask))
    place = tick.epoch, tick.sequence, tick.after
    return _Tick(tick.ticker, plain(tick.price), tick.exchange_timestamp, *place, last, bid, ask, tick.fields)


def _instrument(one: Instrument | None) -> _Instrument | None:
    if one is None:
        return None
    strike, contract_size, tick_size = map(_digits, (one.strike, one.contract_size, one.tick_size))
    words = one.kind, one.price_index, one.unit
    return _Instrument(*words, one.expiry, strike, one.option_type, contract_size, tick_size)


def _decoded_instrument(name: str, found: _Instrument | None) -> Instrument | None:
    if found is None:
        return None
    strike, contract_size, tick_size = map(_price, (found.strike, found.contract_size, found.tick_size))
    words = found.kind, found.price_index, found.unit
    return Instrument(name, *words, found.expiry, strike, found.option_type, contract_size, tick_size)


def _digits(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


def _price(text: str | None) -> Decimal | None:
    return None if text is None else exact_price(text)


def _decoded(found: _Encoded) -> Message:
    match found:
        case _Tick():
            last, bid, ask = map(_price, (found.last, found.bid, found.ask))
            price = exact_price(found.price)
            place = found.epoch, found.sequence, found.after
            fields = checked_values(found.fields)
            return Tick(found.ticker, price, found.exchange_timestamp, last, bid, ask, *place, fields)
        case _Upstream():
            return Upstream(found.state, found.since, found.reason)
        case _Gap():
            return Gap(found.ticker, found.reason)
        case _InstrumentChanged():
            return InstrumentChanged(found.ticker, found.listed, _decoded_instrument(found.ticker, found.instrument))
        case _SessionChanged():
            return SessionChanged(found.sessions, found.kind, found.reason)
        case _LoginsWaiting():
            return LoginsWaiting(tuple(WaitingLogin(*one) for one in found.logins))


def encode_batch(batch: Batch) -> bytes:
    """Returns the batch as bytes."""
    messages = [_encoded(message) for message in batch.messages]
    place = batch.node, batch.sent, batch.epoch, batch.number
    return msgspec.json.encode(_Batch(*place, dict(batch.wanted), messages, batch.nodes))


def decode_batch(data: bytes) -> Batch:
    """Returns the batch; raises UnreadableBatch for bytes that no node wrote."""
    try:
        found = _decoder.decode(data)
        messages = [_decoded(message) for message in found.messages]
        place = found.node, found.sent, found.epoch, found.number
        return Batch(*place, found.wanted, messages, found.nodes)
    except (msgspec.DecodeError, InvalidPrice, RecursionError) as exc:
        raise UnreadableBatch("not a batch") from exc


def encode_tick(tick: Tick) -> bytes:
    """Returns the tick as it is stored among the latest in Redis."""
    return msgspec.json.encode(_tick(tick))


def decode_tick(data: bytes | str) -> Tick:
    """Returns the tick; raises UnreadableBatch for bytes that no node wrote."""
    try:
        tick = _decoded(_tick_decoder.decode(data))
    except (msgspec.DecodeError, InvalidPrice) as exc:
        raise UnreadableBatch("not a tick") from exc
    assert isinstance(tick, Tick)  # noqa: S101 (the decoder has one type)
    return tick
