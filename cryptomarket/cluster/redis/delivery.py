"""Delivery to the receivers of this node: in order, each tick at most once, whichever way it arrived."""

import time
from collections.abc import Callable

from ...model import Message, Receiver, Tick, Upstream
from .acceptance import LeapLimit

__all__ = ["LocalDelivery"]


class LocalDelivery:
    """The receivers of this node and what they have received."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._leap_limit = LeapLimit(monotonic)
        self._receivers: list[Receiver] = []
        self._last: dict[str, tuple[int, int]] = {}
        #: The (epoch, sequence) of the newest tick delivered.
        self.newest = (0, 0)
        #: The state delivered last.
        self.upstream: Upstream | None = None

    def subscribe(self, receiver: Receiver) -> None:
        """Call the receiver with every message delivered from now on."""
        self._receivers.append(receiver)

    def deliver(self, message: Message) -> None:
        """Call every receiver with the message."""
        if isinstance(message, Tick):
            self._last[message.ticker] = place = message.epoch, message.sequence
            if place > self.newest:
                self.newest = place
                self._leap_limit.observe(message.sequence)
        elif isinstance(message, Upstream):
            self.upstream = message
        for receive in self._receivers:
            receive(message)

    def is_new(self, tick: Tick) -> bool:
        """Whether the tick is newer than the last one delivered of its ticker."""
        return (tick.epoch, tick.sequence) > self._last.get(tick.ticker, (0, 0))

    def is_plausible(self, tick: Tick) -> bool:
        """Whether the tick's sequence is no leap: after one, the true ticks would count as old."""
        return self._leap_limit.allows(tick.sequence)
