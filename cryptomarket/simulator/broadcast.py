"""Who listens to what, and the sending of it: each notification is written once, however many listen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .channels import SimulatedChannel
from .encoding import notification, text_frame, write

__all__ = ["Broadcaster", "ChannelState", "Receiver", "frame_of"]


class Receiver(Protocol):
    """Takes a notification of a channel as a finished frame."""

    def deliver(self, channel: str, frame: bytes) -> None: ...


@dataclass(slots=True, eq=False)
class ChannelState:
    """A channel that somebody listens to, and what they have been told: the moment it last spoke of."""

    channel: SimulatedChannel
    moment: int = -1
    due_ms: int = 0
    listeners: dict[int, Receiver] = field(default_factory=dict)

    def frame(self, data: Any) -> bytes:
        """The frame of a notification on it."""
        return frame_of(self.channel.spoken or self.channel.name, data, self.channel.label)


class Broadcaster:
    """The subscriptions of all sessions.

    ``recorded`` are channels whose frames come from a replay: the walk is silent on them.
    """

    def __init__(self, now_ms: int, *, recorded: frozenset[str] = frozenset()) -> None:
        self.recorded = recorded
        self.entries: dict[str, ChannelState] = {}
        self.sent = 0
        self._stepped_ms = now_ms
        self.subscribed: Callable[[str], Any] = lambda _: None

    def join(self, channel: SimulatedChannel, listener: Receiver, now_ms: int) -> ChannelState:
        """The listener gets the channel from now on: the next change is the first it may miss if nobody greets it."""
        entry = self.entries.get(channel.key)
        if entry is None:
            # After a hold-up the present is told when its turn comes, or time would go back after a greeting.
            moment = -1 if channel.moment is None else channel.moment(min(now_ms, self._stepped_ms))
            entry = self.entries[channel.key] = ChannelState(channel, moment)
        entry.listeners[id(listener)] = listener
        self.subscribed(channel.name)
        return entry

    def leave(self, entry: ChannelState, listener: Receiver) -> None:
        """The listener gets the channel no more."""
        entry.listeners.pop(id(listener), None)
        if not entry.listeners and self.entries.get(entry.channel.key) is entry:
            del self.entries[entry.channel.key]

    def send_first_value(self, entry: ChannelState, listener: Receiver) -> None:
        """What the channel last said, for one who has just subscribed: the next change is a change of that."""
        channel = entry.channel
        if channel.first and channel.moment is not None and channel.name not in self.recorded:
            self.sent += 1
            listener.deliver(channel.name, entry.frame(channel.data(entry.moment)))

    def step(self, now_ms: int) -> None:
        """Send what has changed since the last step."""
        self._stepped_ms = now_ms
        for entry in list(self.entries.values()):
            channel = entry.channel
            if channel.moment is None or now_ms < entry.due_ms or channel.name in self.recorded:
                continue
            moment = channel.moment(now_ms)
            if moment != entry.moment:
                before, entry.moment = entry.moment, moment
                if channel.interval_ms:
                    entry.due_ms = now_ms - now_ms % channel.interval_ms + channel.interval_ms
                data = channel.data(moment) if channel.change is None else channel.change(moment, before)
                self._send(entry, entry.frame(data))

    def publish(self, name: str, text: str) -> None:
        """Send a recorded notification to all who listen to its channel."""
        entry = self.entries.get(name)
        if entry is not None:
            self._send(entry, text_frame(text))

    def publish_event(self, name: str, data: Any) -> None:
        """Send data on a channel of events to all who listen to it."""
        entry = self.entries.get(name)
        if entry is not None:
            self._send(entry, entry.frame(data))

    def _send(self, entry: ChannelState, frame: bytes) -> None:
        for listener in list(entry.listeners.values()):
            self.sent += 1
            listener.deliver(entry.channel.name, frame)


def frame_of(name: str, data: Any, label: str | None = None) -> bytes:
    """The frame of a notification."""
    return text_frame(notification(name, write(data), label))
