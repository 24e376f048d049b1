"""Ticks and keys for the tests of the cluster, and the places of received ticks."""

from collections.abc import Sequence
from decimal import Decimal

from cryptography.fernet import Fernet

from cryptomarket.model import Message, Tick
from cryptomarket.persons.keyring import Keyring

__all__ = ["KEYS", "new_keys", "places", "tick"]


def new_keys() -> Keyring:
    """Return the keyring of a new operator key."""
    key = Fernet.generate_key().decode()
    return Keyring(lambda: (key,))


#: The keys that the nodes of the tests share.
KEYS = new_keys()


def tick(price: int, ticker: str = "btc_usd") -> Tick:
    """Return an unpublished tick."""
    return Tick(ticker, Decimal(price), 1_700_000_000_000 + price)


def places(messages: Sequence[Message]) -> list[tuple[int, int]]:
    """Return the (epoch, sequence) of each tick among the messages."""
    return [(message.epoch, message.sequence) for message in messages if isinstance(message, Tick)]
