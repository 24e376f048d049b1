"""The lasting faults in force. Plain data that connections read."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

__all__ = ["ActiveFaults"]


@dataclass(slots=True)
class ActiveFaults:
    """The lasting faults in force. Channels may be patterns (``ticker.*``)."""

    stalled: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    unanswered: set[str] = field(default_factory=set)
    errors: dict[str, int] = field(default_factory=dict)
    delay_seconds: float = 0.0
    reorder: bool = False
    split: bool = False
    repeat: bool = False
    http_page: bool = False
    oauth_error: str = ""
    oauth_delay_seconds: float = 0.0
    refuse_connections: bool = False
    drop_at_once: bool = False

    def stalls(self, channel: str) -> bool:
        """Whether the channel is stalled: it sends nothing."""
        return bool(self.stalled) and any(fnmatchcase(channel, pattern) for pattern in self.stalled)

    def refuses(self, channel: str) -> bool:
        """Whether a channel is silently left out of every subscription."""
        return bool(self.refused) and any(fnmatchcase(channel, pattern) for pattern in self.refused)
