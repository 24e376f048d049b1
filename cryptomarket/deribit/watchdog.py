"""Which channels are silent for longer than their own rhythm, and whether the connection is alive. Pure: no clock.

Heartbeats and pongs do not count as data: a connection was seen to answer both for hours and carry no price.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from ..backoff import doubled
from ..model import Rhythm

__all__ = ["LivenessProbe", "Watchdog"]


@dataclass(slots=True)
class _Watch:
    rhythm: Rhythm
    since: float
    resubscriptions: int = 0


class Watchdog:
    """Learns the rhythm of each channel from its data and returns those that are overdue.

    Each time a channel is subscribed again, its allowed silence doubles, so that a channel without data is not
    subscribed again for ever; its next data resets that.
    """

    def __init__(
        self, *, shortest_seconds: float = 3.0, first_seconds: float = 5.0, longest_seconds: float = 300.0
    ) -> None:
        self.shortest_seconds = shortest_seconds
        self.first_seconds = first_seconds
        self.longest_seconds = longest_seconds
        self._watches: dict[str, _Watch] = {}

    def data_received(self, channel: str, now: float) -> None:
        """The channel carried data."""
        watch = self._watches.get(channel)
        if watch is None:
            watch = self._watches[channel] = _Watch(Rhythm(self.shortest_seconds), now)
        watch.rhythm.beat(now)
        watch.since = now
        watch.resubscriptions = 0

    def expect(self, channel: str, now: float) -> None:
        """The channel was confirmed: its data is expected from now on."""
        if channel in self._watches:
            self._watches[channel].since = now
        else:
            self._watches[channel] = _Watch(Rhythm(self.shortest_seconds), now)

    def pause(self, channels: Iterable[str], now: float) -> None:
        """The exchange announced that these rest: their silence counts from now."""
        for channel in channels:
            if channel in self._watches:
                self._watches[channel].since = now

    def retain(self, channels: Set[str]) -> None:
        """Forget all channels but these."""
        for channel in self._watches.keys() - channels:
            del self._watches[channel]

    def overdue(self, channels: Iterable[str], now: float) -> list[str]:
        """Those of the channels whose data should have arrived by now."""
        return [c for c in channels if (watch := self._watches.get(c)) and now - watch.since > self._allowed(watch)]

    def _allowed(self, watch: _Watch) -> float:
        usual = watch.rhythm.limit if watch.rhythm.last is not None else self.first_seconds
        return doubled(usual, watch.resubscriptions, cap_seconds=max(self.longest_seconds, usual))

    def resubscribed(self, channel: str, now: float) -> None:
        """The channel is being subscribed again."""
        if watch := self._watches.get(channel):
            watch.resubscriptions += 1
            watch.since = now

    def resubscriptions(self, channel: str) -> int:
        """How often the channel was subscribed again since its last data."""
        watch = self._watches.get(channel)
        return watch.resubscriptions if watch else 0


class LivenessProbe:
    """When to send an unasked request, and whether an unanswered one means that the connection is dead.

    One is due after ``silence_seconds`` without a frame of the exchange, to see whether it is there, and after
    ``own_silence_seconds`` without a request of ours, to show that we are. Pings of the WebSocket count for neither.
    """

    def __init__(self, silence_seconds: float, own_silence_seconds: float, answer_seconds: float, now: float) -> None:
        self.silence_seconds = silence_seconds
        self.own_silence_seconds = own_silence_seconds
        self.answer_seconds = answer_seconds
        self._last_frame = self._last_request = now
        self._in_flight = False

    def frame_received(self, now: float) -> None:
        """A frame of any kind arrived."""
        self._last_frame = now

    def request_sent(self, now: float) -> None:
        """A request of any kind was sent."""
        self._last_request = now

    def due(self, now: float) -> bool:
        """Whether to send a probe now; True once for each probe."""
        silent = now - self._last_frame >= self.silence_seconds
        if self._in_flight or not (silent or now - self._last_request >= self.own_silence_seconds):
            return False
        self._in_flight = True
        return True

    def answered(self) -> None:
        """The probe was answered, even if with an error."""
        self._in_flight = False

    def dead(self, now: float) -> bool:
        """The probe expired; returns whether nothing else arrived while it waited."""
        self._in_flight = False
        return now - self._last_frame >= self.answer_seconds
