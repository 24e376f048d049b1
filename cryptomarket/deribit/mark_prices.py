"""The channel `markprice.options.<index>`: price and implied volatility of every option of an index, in one message.

Source: https://docs.deribit.com/subscriptions/. The volatility is a fraction there, unlike `mark_iv` of a ticker.
"""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from .messages import NOTHING, UnreadableMessage, number

__all__ = ["MarkPrice", "read_mark_prices"]


class MarkPrice(NamedTuple):
    """The mark price of an option, and its implied volatility as a fraction (0.5 is 50 percent), if it has one."""

    ticker: str
    price: Decimal
    iv: Decimal | None


class _Row(msgspec.Struct, frozen=True, gc=False):
    instrument_name: str
    mark_price: msgspec.Raw = NOTHING
    iv: msgspec.Raw = NOTHING


_rows = msgspec.json.Decoder(list[_Row])


def read_mark_prices(data: msgspec.Raw | bytes) -> list[MarkPrice]:
    """The options of one message that have a price. Raises UnreadableMessage for another shape than documented."""
    try:
        rows = _rows.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise UnreadableMessage(f"no mark prices: {type(exc).__name__}") from None
    found = []
    for row in rows:
        price = number(row.mark_price)
        if price is not None:
            found.append(MarkPrice(row.instrument_name, price, number(row.iv)))
    return found
