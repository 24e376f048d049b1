"""What a session hands to the connection: wishes to be sent, and what happened, for the rest of the program."""

from dataclasses import dataclass, field
from typing import Any

from ..model import Gap, Tick
from .protocol import ErrorReply, Expired, Lost, Purpose, Result
from .rate_limit import Priority

__all__ = ["Effect", "InstrumentChanged", "Outgoing", "ProtocolWarning"]


@dataclass(frozen=True, slots=True, order=True)
class Outgoing:
    """Something to be sent when the budget allows, the most urgent first, then the oldest."""

    priority: Priority
    number: int
    method: str = field(compare=False)
    purpose: Purpose = field(compare=False)
    params: dict[str, Any] = field(compare=False, repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class InstrumentChanged:
    """An instrument was created, ended or changed its state: the catalogue may be read again."""

    ticker: str
    state: str


@dataclass(frozen=True, slots=True)
class ProtocolWarning:
    """Something went wrong that does not end the connection; a sentence for the log."""

    what: str


#: The last four are about calls of others, which the session passes on.
Effect = Tick | Gap | InstrumentChanged | ProtocolWarning | Result | ErrorReply | Expired | Lost
