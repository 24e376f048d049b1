"""Ticks for the tests of the cluster, and the places of received ones."""

from collections.abc import Sequence
from decimal import Decimal

from cryptomarket.model import Message, Tick

__all__ = ["places", "tick"]


def tick(price: int, ticker: str = "btc_usd") -> Tick:
    """Return an unpublished tick."""
    return Tick(ticker, Decimal(price), 1_700_000_000_000 + price)


def places(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Return the (epoch, sequence) of each tick among the messages."""
    return [(message.epoch, message.sequence) for message in messages if isinstance(message, Tick)]
