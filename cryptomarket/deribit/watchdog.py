"""Which channels are silent for longer than their own rhythm, and how patient to be with each. Pure: no clock.

Heartbeats and pongs do not count as life: a line was seen to answer both for hours and carry no price.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from ..backoff import doubled
from ..model import Rhythm

__all__ = ["Pulse", "Watchdog"]


@dataclass(slots=True)
class _Watch:
    rhythm: Rhythm
    since: float
    attempts: int = 0


class Watchdog:
    """Learns the rhythm of each channel from its data and names those that are overdue.

    A channel that was subscribed again gets twice the time of the time before, so that one which has nothing to say
    is not asked for ever; what it finally says makes it an ordinary channel again.
    """

    def __init__(
        self, *, shortest_seconds: float = 3.0, first_seconds: float = 5.0, longest_seconds: float = 300.0
    ) -> None:
        self.shortest_seconds = shortest_seconds
        self.first_seconds = first_seconds
        self.longest_seconds = longest_seconds
        self._watches: dict[str, _Watch] = {}

    def heard(self, channel: str, now: float) -> None:
        """The channel carried data."""
        watch = self._watches.get(channel)
        if watch is None:
            watch = self._watches[channel] = _Watch(Rhythm(self.shortest_seconds), now)
        watch.rhythm.beat(now)
        watch.since = now
        watch.attempts = 0

    def expect(self, channel: str, now: float) -> None:
        """The channel was confirmed and should speak from now on."""
        if channel in self._watches:
            self._watches[channel].since = now
        else:
            self._watches[channel] = _Watch(Rhythm(self.shortest_seconds), now)

    def excuse(self, channels: Iterable[str], now: float) -> None:
        """The exchange said that these rest: their silence counts from now."""
        for channel in channels:
            if channel in self._watches:
                self._watches[channel].since = now

    def keep(self, channels: Set[str]) -> None:
        """Forget all but these."""
        for channel in self._watches.keys() - channels:
            del self._watches[channel]

    def overdue(self, channels: Iterable[str], now: float) -> list[str]:
        """Those of the channels that should have spoken by now."""
        return [c for c in channels if (watch := self._watches.get(c)) and now - watch.since > self._patience(watch)]

    def _patience(self, watch: _Watch) -> float:
        usual = watch.rhythm.limit if watch.rhythm.last is not None else self.first_seconds
        return doubled(usual, watch.attempts, cap_seconds=max(self.longest_seconds, usual))

    def tried(self, channel: str, now: float) -> None:
        """The channel is being subscribed again."""
        if watch := self._watches.get(channel):
            watch.attempts += 1
            watch.since = now

    def attempts(self, channel: str) -> int:
        """How often the channel was subscribed again since it last spoke."""
        watch = self._watches.get(channel)
        return watch.attempts if watch else 0


class Pulse:
    """Whether anybody is there at all: a silence is asked about, and no answer to that is an answer."""

    def __init__(self, silence_seconds: float, answer_seconds: float, now: float) -> None:
        self.silence_seconds = silence_seconds
        self.answer_seconds = answer_seconds
        self._last = now
        self._asked = False

    def beat(self, now: float) -> None:
        """A frame came, whatever it said."""
        self._last = now

    def doubtful(self, now: float) -> bool:
        """Whether to ask now; true once for each question."""
        if self._asked or now - self._last < self.silence_seconds:
            return False
        self._asked = True
        return True

    def answered(self) -> None:
        """The question was answered, however."""
        self._asked = False

    def dead(self, now: float) -> bool:
        """Whether nothing came while the question waited for its answer; a late answer among news is no death."""
        self._asked = False
        return now - self._last >= self.answer_seconds
