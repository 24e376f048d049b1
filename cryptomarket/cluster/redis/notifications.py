"""Session notifications that other nodes may have missed, because Redis was away or they had not reconnected. Pure."""

from collections.abc import Callable, Sequence

from ...model import SessionChanged

__all__ = ["LateNotifications"]

#: Seconds after Redis returned until every node has subscribed to it again.
RESUBSCRIBED_SECONDS = 2.5
MAX_WAITING = 5_000


class LateNotifications:
    """Keeps notifications that were published while nodes were not subscribed, to publish them once more."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._waiting: list[SessionChanged] = []
        self._received_from = float("-inf")

    def disconnected(self) -> None:
        """Redis is away: no node receives anything."""
        self._received_from = float("inf")

    def reconnected(self) -> None:
        """Redis is back: the other nodes subscribe to it within RESUBSCRIBED_SECONDS."""
        self._received_from = self._monotonic() + RESUBSCRIBED_SECONDS

    def published(self, messages: Sequence[SessionChanged]) -> None:
        """Keep the messages unless every node received them."""
        if not self._all_receive():
            self._waiting = [*self._waiting, *messages][-MAX_WAITING:]

    def due(self) -> list[SessionChanged]:
        """The messages to publish once more; empty until every node receives."""
        if not self._all_receive():
            return []
        due, self._waiting = self._waiting, []
        return due

    def _all_receive(self) -> bool:
        return self._monotonic() >= self._received_from
