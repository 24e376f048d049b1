"""Every statement about the exchange, by topic. Client, simulator and `cryptomarket verify` use the same values.

Plain values that import nothing of the package. A change of the exchange is made here, once.
"""

from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

from . import authentication, catalogue, channels, coinbase, connection, errors, limits, messages
from .statement import ConfirmedBy, Statement

__all__ = ["STATEMENTS", "TOPICS", "UNCONFIRMED", "ConfirmedBy", "Statement"]


def _statements(topic: ModuleType) -> tuple[Statement[Any], ...]:
    return tuple(value for value in vars(topic).values() if isinstance(value, Statement))


#: The modules, in the order of the documentation; the docstring of each says what its statements are about.
TOPICS: tuple[ModuleType, ...] = (
    connection,
    messages,
    errors,
    limits,
    channels,
    catalogue,
    authentication,
    coinbase,
)
STATEMENTS: Mapping[str, Statement[Any]] = MappingProxyType(
    {statement.name: statement for topic in TOPICS for statement in _statements(topic)}
)
UNCONFIRMED: tuple[Statement[Any], ...] = tuple(one for one in STATEMENTS.values() if not one.confirmed)
