"""One statement about the exchange: what it says, the value that programs use, its source, and who confirmed it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

__all__ = [
    "COINBASE",
    "COINBASE_MAIN",
    "COINBASE_STREAMS",
    "DERIBIT",
    "EVERY_HOST",
    "ConfirmedBy",
    "Statement",
    "shown",
]

T = TypeVar("T")

#: The kinds of hosts: Deribit's (production and test net), and the two of Coinbase.
DERIBIT = "deribit"
COINBASE_STREAMS = "coinbase-streams"
COINBASE_MAIN = "coinbase-main"
COINBASE = (COINBASE_STREAMS, COINBASE_MAIN)
EVERY_HOST = (DERIBIT, *COINBASE)


class ConfirmedBy(StrEnum):
    """The strongest thing that is known to agree with a statement."""

    RECORDING = "recording"
    PROBE = "probe"  # somebody measured it at the real exchange and wrote it down
    DOCUMENTATION = "documentation"
    NOBODY = "nobody yet"


@dataclass(frozen=True, slots=True, eq=False)
class Statement(Generic[T]):
    """A statement. It is compared by identity; ``value`` is what client and simulator use."""

    #: The name of the constant in lower case. An unconfirmed statement is the simulator's switch of the same name.
    name: str
    #: One sentence; ``{value}`` stands for the value, and ``: {value}`` at its end for whether it is so.
    text: str
    value: T
    source: str = field(kw_only=True)
    confirmed_by: ConfirmedBy = field(kw_only=True)
    #: The kinds of hosts for which it holds.
    hosts: tuple[str, ...] = field(default=(DERIBIT,), kw_only=True)
    #: Of an unconfirmed statement: the values that the exchange may have instead.
    others: tuple[T, ...] = field(default=(), kw_only=True)

    def __repr__(self) -> str:
        return f"<Statement {self.name}={self.value!r}>"

    @property
    def confirmed(self) -> bool:
        """Whether anybody confirmed it."""
        return self.confirmed_by is not ConfirmedBy.NOBODY

    @property
    def sentence(self) -> str:
        """The text with the value in it; of a boolean the text alone, after "Not so" where it is false."""
        if not isinstance(self.value, bool):
            return self.text.format(value=shown(self.value))
        text = self.text.replace(": {value}", "")
        return text if self.value else f"Not so: {text[0].lower()}{text[1:]}"


def shown(value: Any) -> str:
    """A value as text for people: yes or no, numbers without needless digits, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, set | frozenset):
        value = sorted(value)
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "an empty list"
    return "nothing" if value is None else str(value)
