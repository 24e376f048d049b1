"""Which session receives which channel, and sending: each notification is encoded once for all its receivers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from .channels import SimulatedChannel
from .encoding import notification, text_frame, write

__all__ = ["Broadcaster", "ChannelListener", "ChannelState", "frame_of"]


class ChannelListener(Protocol):
    """Receives a notification of a channel as an encoded frame."""

    def deliver(self, channel: str, frame: bytes) -> None: ...


@dataclass(slots=True, eq=False)
class ChannelState:
    """A subscribed channel, its receivers, and the moment of its last notification (UNIX ms).

    ``checked`` is the last moment at which there was anything to compute.
    """

    channel: SimulatedChannel
    moment: int = -1
    checked: int = -1
    due_ms: int = 0
    listeners: dict[int, ChannelListener] = field(default_factory=dict)

    def frame(self, data: Any) -> bytes:
        """Returns the frame of a notification on the channel."""
        return frame_of(self.channel.spoken or self.channel.name, data, self.channel.label)


class Broadcaster:
    """The subscriptions of all sessions.

    ``recorded``: channels whose frames come from a replay; the simulated market sends nothing on them.
    """

    def __init__(self, now_ms: int, *, recorded: frozenset[str] = frozenset()) -> None:
        self.recorded = recorded
        self.entries: dict[str, ChannelState] = {}
        self.sent = 0
        self._stepped_ms = now_ms
        self.subscribed: Callable[[str], Any] = lambda _: None

    def join(self, channel: SimulatedChannel, listener: ChannelListener, now_ms: int) -> ChannelState:
        """Adds the receiver to the channel and returns the channel's state."""
        entry = self.entries.get(channel.key)
        if entry is None:
            # When the market is behind, start at its position: otherwise time would step back after the first value.
            moment = -1 if channel.moment is None else channel.moment(min(now_ms, self._stepped_ms))
            entry = self.entries[channel.key] = ChannelState(channel, moment, moment)
        entry.listeners[id(listener)] = listener
        self.subscribed(channel.name)
        return entry

    def leave(self, entry: ChannelState, listener: ChannelListener) -> None:
        """Removes the receiver from the channel."""
        entry.listeners.pop(id(listener), None)
        if not entry.listeners and self.entries.get(entry.channel.key) is entry:
            del self.entries[entry.channel.key]

    def send_first_value(self, entry: ChannelState, listener: ChannelListener) -> None:
        """Sends the current value of the channel to a receiver that has just subscribed."""
        channel = entry.channel
        for data in channel.firsts() if channel.firsts is not None else ():
            self.sent += 1
            listener.deliver(channel.name, entry.frame(data))
        if channel.first and channel.moment is not None and channel.name not in self.recorded:
            self.sent += 1
            listener.deliver(channel.name, entry.frame(channel.data(entry.moment)))

    def step(self, now_ms: int) -> None:
        """Sends the notifications that became due since the last step."""
        self._stepped_ms = now_ms
        for entry in list(self.entries.values()):
            channel = entry.channel
            if channel.moment is None or now_ms < entry.due_ms or channel.name in self.recorded:
                continue
            moment = channel.moment(now_ms)
            if moment == entry.checked:
                continue
            entry.checked = moment
            if channel.interval_ms:
                entry.due_ms = now_ms - now_ms % channel.interval_ms + channel.interval_ms
            data = channel.data(moment) if channel.change is None else channel.change(moment, entry.moment)
            if data is not None:
                entry.moment = moment
                self.send(entry, data)

    def publish(self, name: str, text: str) -> None:
        """Sends a recorded notification to the receivers of its channel."""
        entry = self.entries.get(name)
        if entry is not None:
            self._send(entry, text_frame(text))

    def publish_event(self, name: str, data: Any) -> None:
        """Sends an event to the receivers of its channel."""
        entry = self.entries.get(name)
        if entry is not None:
            self.send(entry, data)

    def send(self, entry: ChannelState, data: Any) -> None:
        """Sends data to the receivers of a channel."""
        self._send(entry, entry.frame(data))

    def _send(self, entry: ChannelState, frame: bytes) -> None:
        for listener in list(entry.listeners.values()):
            self.sent += 1
            listener.deliver(entry.channel.name, frame)


def frame_of(name: str, data: Any, label: str | None = None) -> bytes:
    """Returns the frame of a notification."""
    return text_frame(notification(name, write(data), label))
