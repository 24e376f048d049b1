"""What a session hands to its connection: requests to send, and what happened, for the rest of the program."""

from dataclasses import dataclass, field
from typing import Any

from ..model import Gap, InstrumentChanged, Tick
from .protocol import ErrorReply, Expired, Lost, Purpose, Result
from .rate_limit import Priority

__all__ = ["Effect", "Outbox", "Outgoing", "ProtocolWarning"]


@dataclass(frozen=True, slots=True, order=True)
class Outgoing:
    """A request to send when the budget allows; ordered by priority, then by number."""

    priority: Priority
    number: int
    method: str = field(compare=False)
    purpose: Purpose = field(compare=False)
    params: dict[str, Any] = field(compare=False, repr=False, default_factory=dict)


class Outbox:
    """The requests that the parts of a session want to be sent; each is handed out once."""

    def __init__(self) -> None:
        self._number = 0
        self._waiting: list[Outgoing] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, method: str, purpose: Purpose, priority: Priority, **params: Any) -> None:
        """Queue a request."""
        self._number += 1
        self._waiting.append(Outgoing(priority, self._number, method, purpose, params))

    def drain(self) -> list[Outgoing]:
        """The requests queued since the last call."""
        waiting, self._waiting = self._waiting, []
        return waiting


@dataclass(frozen=True, slots=True)
class ProtocolWarning:
    """Something went wrong that does not end the connection; a sentence for the log."""

    message: str


#: The last four are outcomes of calls by other parts of the program, which the session passes on.
Effect = Tick | Gap | InstrumentChanged | ProtocolWarning | Result | ErrorReply | Expired | Lost
