"""Messages for the tests of the cluster, and what can be read from those received."""

from collections.abc import Sequence
from decimal import Decimal

from cryptomarket.model import Message, Tick

__all__ = ["places", "tick"]


def tick(price: int, ticker: str = "btc_usd") -> Tick:
    """A tick that is not published yet."""
    return Tick(ticker, Decimal(price), 1_700_000_000_000 + price)


def places(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """The (epoch, sequence) of each tick among the messages."""
    return [(message.epoch, message.sequence) for message in messages if isinstance(message, Tick)]
