"""The exchange's encoding: JSON, floats, envelopes, WebSocket frames.

Independent of the client's JSON parser, so that a mistake there is not repeated here. It knows no method
and no socket.
"""

from json.encoder import encode_basestring
from typing import Any

from .rpc_errors import RpcError

__all__ = [
    "DecimalFloat",
    "answer",
    "fragments",
    "heartbeat",
    "notification",
    "number",
    "payload_of",
    "refusal",
    "text_frame",
    "write",
]

string = encode_basestring


class DecimalFloat(float):
    """A float that is never written with an exponent: the commissions of instruments (``0.00025``)."""


def number(value: float) -> str:
    """Returns the shorter of decimal and exponent form; the decimal form when they are equally long.

    ``85500.0`` becomes ``8.55e4``, ``2e-05`` becomes ``2.0e-5``; ``261910.0`` stays.
    """
    text = repr(value)
    if "e" not in text and (abs(value) >= 0.001 or not value) and not text.endswith("00.0"):
        return text
    digits, exponent = _digits(text)
    sign = "-" if value < 0 else ""
    scientific = f"{digits[0]}.{digits[1:] or '0'}e{exponent}"
    decimal = _decimal(digits, exponent)
    return sign + (scientific if len(scientific) < len(decimal) else decimal)


def _digits(text: str) -> tuple[str, int]:
    """The significant digits and the decimal exponent of the first of them."""
    mantissa, _, exponent = text.lstrip("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    first = len(whole) - 1 if whole.strip("0") else -1 - (len(fraction) - len(fraction.lstrip("0")))
    return digits.rstrip("0") or "0", first + int(exponent or 0)


def _decimal(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    return f"{whole}.{digits[exponent + 1 :] or '0'}"


def write(value: Any) -> str:
    """The value as compact JSON text with the exchange's notation of numbers."""
    kind = type(value)
    if kind is float:
        return number(value)
    if kind is str:
        return string(value)
    if kind is int:
        return str(value)
    if kind is dict:
        return "{" + ",".join([f'"{key}":{write(item)}' for key, item in value.items()]) + "}"
    if kind is list or kind is tuple:
        return "[" + ",".join([write(item) for item in value]) + "]"
    if value is None or kind is bool:
        return "null" if value is None else "true" if value else "false"
    if kind is DecimalFloat:
        text = repr(float(value))
        return text if "e" not in text else "-" * (value < 0) + _decimal(*_digits(text))
    raise TypeError(f"the exchange does not write {kind.__name__}")


def answer(identifier: int | str | None, result: Any, us_in: int, us_out: int, testnet: bool) -> str:
    """Returns a response; without an id when the request had none, as over HTTP."""
    return f'{_head(identifier)}"result":{write(result)},{_times(us_in, us_out, testnet)}}}'


def refusal(identifier: int | str | None, why: RpcError, us_in: int, us_out: int, testnet: bool) -> str:
    """Returns an error response, with the recorded order of keys."""
    error: dict[str, Any] = {"code": why.code}
    if why.data is not None:
        error["data"] = why.data
    error["message"] = why.message
    if why.unreadable:
        identifier = None
    return f'{_head(identifier)}"error":{write(error)},{_times(us_in, us_out, testnet)}}}'


def notification(channel: str, data: str, label: str | None = None) -> str:
    """Returns a notification around data that is already JSON text."""
    tail = f',"label":{string(label)}' if label is not None else ""
    return f'{{"jsonrpc":"2.0","method":"subscription","params":{{"channel":{string(channel)},"data":{data}{tail}}}}}'


def heartbeat(kind: str) -> str:
    """``heartbeat`` or ``test_request``, in the recorded key order, which is unlike that of other notifications."""
    return f'{{"params":{{"type":"{kind}"}},"method":"heartbeat","jsonrpc":"2.0"}}'


def text_frame(text: str) -> bytes:
    """A complete, unmasked WebSocket text frame; the same bytes serve every reader."""
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def payload_of(frame: bytes) -> bytes:
    """Returns the payload of an unmasked frame."""
    return frame[2 if frame[1] < 126 else 4 if frame[1] == 126 else 10 :]


def fragments(frame: bytes, size: int = 11) -> list[bytes]:
    """Returns the message as WebSocket fragments of ``size`` bytes, which may cut characters."""
    payload = payload_of(frame)
    parts = [payload[place : place + size] for place in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return [
        bytes(((0x01 if not place else 0x00) | (0x80 if place == last else 0), len(part))) + part
        for place, part in enumerate(parts)
    ]


def _head(identifier: int | str | None) -> str:
    return '{"jsonrpc":"2.0",' if identifier is None else f'{{"jsonrpc":"2.0","id":{write(identifier)},'


def _times(us_in: int, us_out: int, testnet: bool) -> str:
    return f'"usIn":{us_in},"usOut":{us_out},"usDiff":{us_out - us_in},"testnet":{write(testnet)}'
