"""The bus: what the leader publishes reaches every receiver of every node, in order.

Publishing never waits for a receiver. The bus gives each tick its place, ``(epoch, sequence)``, so that the ids of the
stream are the same wherever it is read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..model import Message, Receiver, Tick

__all__ = ["Bus", "LocalBus"]


class Bus(Protocol):
    """Carries messages from the one publisher to all receivers."""

    def publish(self, message: Message) -> None:
        """Deliver the message to every receiver, giving a tick its place first."""

    def subscribe(self, receiver: Receiver) -> None:
        """Deliver everything published from now on to the receiver."""

    def lead(self, epoch: int) -> None:
        """Ticks that are published here from now on are of this epoch."""

    def follow(self) -> None:
        """The term of this node is over."""

    def demand(self) -> frozenset[str]:
        """The tickers that streams of all nodes ask for."""


@dataclass(slots=True)
class LocalBus:
    """The bus of a single process: calls its receivers in the order in which they subscribed."""

    epoch: int = 0
    wanted: Callable[[], frozenset[str]] = frozenset
    sequence: int = 0
    after: tuple[int, int] = (0, 0)
    _receivers: list[Receiver] = field(default_factory=list)

    def publish(self, message: Message) -> None:
        """Deliver the message to every receiver, giving a tick its place first."""
        if isinstance(message, Tick):
            self.sequence += 1
            message = message.at(self.epoch, self.sequence, self.after)
        for receive in self._receivers:
            receive(message)

    def lead(self, epoch: int) -> None:
        """Ticks that are published from now on are of this epoch."""
        self.epoch, self.sequence = epoch, 0

    def follow(self) -> None:
        """There is nobody to follow."""

    def demand(self) -> frozenset[str]:
        """The tickers that streams ask for."""
        return self.wanted()

    def subscribe(self, receiver: Receiver) -> None:
        """Deliver everything published from now on to the receiver."""
        self._receivers.append(receiver)
