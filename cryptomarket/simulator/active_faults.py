"""The faults that last: what is wrong with the exchange at the moment. Plain data that connections look at."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

__all__ = ["ActiveFaults"]


@dataclass(slots=True)
class ActiveFaults:
    """Everything that is wrong. Channels may be patterns (``ticker.*``)."""

    stalled: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    errors: dict[str, int] = field(default_factory=dict)
    delay_seconds: float = 0.0
    reorder: bool = False
    split: bool = False
    repeat: bool = False
    http_page: bool = False
    refuse_connections: bool = False
    drop_at_once: bool = False

    def stalls(self, channel: str) -> bool:
        """Whether nothing is said on a channel."""
        return bool(self.stalled) and any(fnmatchcase(channel, pattern) for pattern in self.stalled)

    def refuses(self, channel: str) -> bool:
        """Whether a channel is silently left out of every subscription."""
        return bool(self.refused) and any(fnmatchcase(channel, pattern) for pattern in self.refused)
