"""Which channels are silent for longer than their own rhythm, and whether the connection is alive. Pure: no clock.

Heartbeats and pongs do not count as data: a connection was seen to answer both for hours and carry no price.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from ..backoff import doubled
from ..model import Rhythm, Tick, is_index
from .channels import ticker_of

__all__ = ["LivenessProbe", "Watchdog"]


@dataclass(slots=True)
class _Watch:
    rhythm: Rhythm
    #: The allowed silence before a second message.
    unlearned: float
    since: float
    tick: Tick | None = None  # the last one
    #: Whether data arrived since the channel was subscribed.
    works: bool = False
    resubscriptions: int = 0
    #: How often it was found that the exchange had nothing new for the channel, since its last news.
    quiet: int = 0
    #: Since when it is known that the exchange has something new that the channel does not carry.
    missing_since: float | None = None


class Watchdog:
    """Learns the rhythm of each channel from its data and returns those that are overdue.

    An instrument is sent only when something changes, so its silence alone proves nothing. An overdue channel that
    works is to be compared with the exchange's present price first (`to_compare`, `compared`); one that lacks it after
    ``settle_seconds`` is lost. The allowed silence doubles each time there was nothing new, or no data at all.
    """

    def __init__(
        self,
        *,
        shortest_seconds: float = 3.0,
        first_seconds: float = 5.0,
        unlearned_seconds: float = 30.0,
        settle_seconds: float = 1.0,
        longest_seconds: float = 300.0,
    ) -> None:
        self.shortest_seconds = shortest_seconds
        self.first_seconds = first_seconds
        self.unlearned_seconds = unlearned_seconds
        self.settle_seconds = settle_seconds
        self.longest_seconds = longest_seconds
        self._watches: dict[str, _Watch] = {}

    def data_received(self, channel: str, tick: Tick | None, now: float) -> None:
        """The channel carried data, None for data without a price.

        The first message after a subscription tells the present state: it is no part of the rhythm, and nothing new
        when it repeats the last one.
        """
        watch = self._watch(channel, now)
        if watch.works:
            watch.rhythm.beat(now, whole=watch.quiet > 0)
        elif watch.tick is not None and _same(watch.tick, tick):
            self._nothing_new(watch, now)
            watch.works = True
            return
        watch.rhythm.last = watch.since = now
        watch.tick, watch.works, watch.missing_since = tick, True, None
        watch.resubscriptions = watch.quiet = 0

    def _watch(self, channel: str, now: float) -> _Watch:
        watch = self._watches.get(channel)
        if watch is None:
            steady = is_index(ticker_of(channel) or "")
            unlearned = self.shortest_seconds if steady else self.unlearned_seconds
            watch = self._watches[channel] = _Watch(Rhythm(self.shortest_seconds), unlearned, now)
        return watch

    def _nothing_new(self, watch: _Watch, now: float) -> None:
        watch.quiet += 1
        watch.since, watch.missing_since, watch.resubscriptions = now, None, 0

    def expect(self, channel: str, now: float) -> None:
        """The channel was confirmed: its data is expected from now on."""
        self._watch(channel, now).since = now

    def pause(self, channels: Iterable[str], now: float) -> None:
        """Nothing can be said of these, which rest or could not be compared: their silence counts from now."""
        for channel in channels:
            if channel in self._watches:
                self._watches[channel].since = now

    def retain(self, channels: Set[str]) -> None:
        """Forget all channels but these."""
        for channel in self._watches.keys() - channels:
            del self._watches[channel]

    def lost(self, channels: Iterable[str], now: float) -> list[str]:
        """Those that should be subscribed again: no data since the last time, or something new was not carried."""
        return [c for c in channels if (watch := self._watches.get(c)) and self._is_lost(watch, now)]

    def _is_lost(self, watch: _Watch, now: float) -> bool:
        if watch.missing_since is not None:
            return now - watch.missing_since > self.settle_seconds
        return not watch.works and now - watch.since > self._allowed(watch)

    def to_compare(self, channels: Iterable[str], now: float) -> list[str]:
        """Those that work and are overdue, the one of the quickest rhythm first."""
        found = [(self._allowed(watch), c) for c in channels if (watch := self._watches.get(c)) and watch.works]
        return [c for allowed, c in sorted(found) if self._overdue(self._watches[c], allowed, now)]

    def _overdue(self, watch: _Watch, allowed: float, now: float) -> bool:
        return watch.missing_since is None and now - watch.since > allowed

    def _allowed(self, watch: _Watch) -> float:
        if watch.rhythm.last is None:
            usual = self.first_seconds
        elif watch.rhythm.usual_pause is None:
            usual = watch.unlearned if watch.works else self.first_seconds
        else:
            usual = watch.rhythm.limit
        return doubled(usual, watch.resubscriptions + watch.quiet, cap_seconds=max(self.longest_seconds, usual))

    def compared(self, channel: str, present: Tick | None, asked: float, now: float) -> None:
        """The exchange told the present state of the channel's ticker, asked for at that time."""
        watch = self._watches.get(channel)
        if watch is None or watch.since > asked:
            return  # data arrived meanwhile
        if _same(watch.tick, present):
            self._nothing_new(watch, now)
        else:
            watch.missing_since = now

    def resubscribed(self, channel: str, now: float) -> None:
        """The channel is being subscribed again."""
        if watch := self._watches.get(channel):
            watch.resubscriptions += 1
            watch.since = now
            watch.works, watch.missing_since = False, None

    def resubscriptions(self, channel: str) -> int:
        """How often the channel was subscribed again since its last data."""
        watch = self._watches.get(channel)
        return watch.resubscriptions if watch else 0


def _same(one: Tick | None, other: Tick | None) -> bool:
    """Whether two ticks of a ticker have the same prices."""
    if one is None or other is None:
        return one is other
    return (one.price, one.last, one.bid, one.ask) == (other.price, other.last, other.bid, other.ask)


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
