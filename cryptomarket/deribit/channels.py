"""The names of Deribit's channels: which channel carries a ticker, and which ticker a channel carries.

Names are taken as the exchange writes them and never derived from other names.
"""

import re

from ..model import is_index

__all__ = [
    "BATCHED",
    "INSTRUMENT_CREATION",
    "INSTRUMENT_STATE",
    "PLATFORM",
    "PLATFORM_STATE",
    "PUBLIC_METHODS",
    "RAW",
    "channel_of",
    "is_raw",
    "is_ticker",
    "ticker_of",
]

INDEX_PREFIX = "deribit_price_index."
TICKER_PREFIX = "ticker."
BATCHED = "100ms"
#: Every change, one by one; refused to those who did not log in (13778), and with them the whole request.
RAW = "raw"

PLATFORM_STATE = "platform_state"
PUBLIC_METHODS = "platform_state.public_methods_state"
INSTRUMENT_STATE = "instrument.state.any.any"
#: Since 6 May 2026; an exchange that does not know it leaves it out of its answer.
INSTRUMENT_CREATION = "instrument.creation.any.any"
#: What is always subscribed beside prices. One request costs the same with them and without.
PLATFORM = (PLATFORM_STATE, PUBLIC_METHODS, INSTRUMENT_STATE, INSTRUMENT_CREATION)

_TICKER = re.compile(r"[A-Za-z0-9_.-]{2,64}\Z")


def is_ticker(name: str) -> bool:
    """Whether the name has the form of a ticker; any other could change the meaning of a URL or a channel."""
    return _TICKER.match(name) is not None


def channel_of(ticker: str, interval: str = BATCHED) -> str:
    """The channel that carries the price of the ticker; the interval counts for instruments only."""
    return f"{INDEX_PREFIX}{ticker}" if is_index(ticker) else f"{TICKER_PREFIX}{ticker}.{interval}"


def ticker_of(channel: str) -> str | None:
    """The ticker whose price the channel carries, or None if it carries something else."""
    if channel.startswith(INDEX_PREFIX):
        return channel[len(INDEX_PREFIX) :] or None
    if channel.startswith(TICKER_PREFIX):
        return channel[len(TICKER_PREFIX) :].rpartition(".")[0] or None
    return None


def is_raw(channel: str) -> bool:
    """Whether the channel needs a login."""
    return channel.endswith(f".{RAW}")
