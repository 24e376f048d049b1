"""The instrument object of `public/get_instruments` and of the channel `instrument.creation`, decoded. Pure."""

from decimal import Decimal
from functools import lru_cache
from sys import intern

import msgspec

from ..model import Instrument
from .messages import EARLIEST_MS, LATEST_MS, NOTHING, number

__all__ = ["InstrumentData"]


class InstrumentData(msgspec.Struct, frozen=True, gc=False):
    """What we use of an instrument object; kinds, types and states are open-ended words."""

    instrument_name: str
    kind: str | None = None
    state: str | None = None
    price_index: str | None = None
    quote_currency: str | None = None
    expiration_timestamp: int | float | None = None
    strike: msgspec.Raw = NOTHING
    option_type: str | None = None
    contract_size: msgspec.Raw = NOTHING
    tick_size: msgspec.Raw = NOTHING

    def instrument(self) -> Instrument:
        """The instrument. Thousands are kept, so equal words and numbers are one object in memory."""
        expires = self.expiration_timestamp
        return Instrument(
            self.instrument_name,
            intern(self.kind or ""),
            intern(self.price_index or ""),
            intern(self.quote_currency or ""),
            # What never expires has a date of the year 3000.
            int(expires) // 1000 if expires is not None and EARLIEST_MS <= expires <= LATEST_MS else None,
            _number(bytes(self.strike)),
            intern(self.option_type or ""),
            _number(bytes(self.contract_size)),
            _number(bytes(self.tick_size)),
        )


@lru_cache(maxsize=4096)
def _number(raw: bytes) -> Decimal | None:
    return number(raw)
