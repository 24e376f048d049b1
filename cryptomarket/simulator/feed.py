"""Who listens to what, and the sending of it: each notification is written once, whoever many listen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .channels import Channel
from .wire import notification, text_frame, write

__all__ = ["Entry", "Feed", "Listener"]


class Listener(Protocol):
    """Takes a notification; ``first`` marks the greeting that follows a subscription."""

    def deliver(self, channel: str, frame: bytes) -> None: ...


@dataclass(slots=True, eq=False)
class Entry:
    """A channel that somebody listens to. Spelled as it was subscribed; ``label`` is of private ones."""

    channel: Channel
    moment: int = -1
    due_ms: int = 0
    listeners: dict[int, Listener] = field(default_factory=dict)


class Feed:
    """The subscriptions of all sessions.

    ``recorded`` are channels whose frames come from a replay: the walk is silent on them.
    """

    def __init__(self, *, recorded: frozenset[str] = frozenset()) -> None:
        self.recorded = recorded
        self.entries: dict[str, Entry] = {}
        self.sent = 0
        self.joined: Callable[[str], Any] = lambda _: None

    def join(self, channel: Channel, listener: Listener, now_ms: int) -> Entry:
        """The listener gets the channel from now on: the next change is the first it may miss if nobody greets it."""
        entry = self.entries.get(channel.name)
        if entry is None:
            moment = -1 if channel.moment is None else channel.moment(now_ms)
            entry = self.entries[channel.name] = Entry(channel, moment)
        entry.listeners[id(listener)] = listener
        self.joined(channel.name)
        return entry

    def leave(self, name: str, listener: Listener) -> None:
        """The listener gets the channel no more."""
        entry = self.entries.get(name)
        if entry is not None and id(listener) in entry.listeners:
            del entry.listeners[id(listener)]
        if entry is not None and not entry.listeners:
            del self.entries[name]

    def greet(self, entry: Entry, listener: Listener, now_ms: int) -> None:
        """The present value, for one who has just subscribed."""
        channel = entry.channel
        if not channel.first or channel.moment is None or channel.name in self.recorded:
            return
        self.sent += 1
        listener.deliver(channel.name, frame_of(channel.name, channel.data(now_ms)))

    def step(self, now_ms: int) -> None:
        """Send what has changed since the last step."""
        for entry in list(self.entries.values()):
            channel = entry.channel
            if channel.moment is None or now_ms < entry.due_ms or channel.name in self.recorded:
                continue
            moment = channel.moment(now_ms)
            if moment != entry.moment:
                entry.moment = moment
                entry.due_ms = now_ms - now_ms % channel.interval_ms + channel.interval_ms if channel.interval_ms else 0
                self.publish(channel.name, frame_of(channel.name, channel.data(now_ms)))

    def publish(self, name: str, frame: bytes) -> None:
        """Send one frame to all who listen to a channel."""
        entry = self.entries.get(name)
        for listener in list(entry.listeners.values()) if entry is not None else ():
            self.sent += 1
            listener.deliver(name, frame)

    def tell(self, name: str, data: Any) -> None:
        """Send data on a channel of events to all who listen to it."""
        self.publish(name, frame_of(name, data))


def frame_of(name: str, data: Any) -> bytes:
    """The frame of a notification."""
    return text_frame(notification(name, write(data)))
