"""The life of instruments on ``instrument.state`` and ``instrument.creation``: listed, settled, delivered, gone."""

from collections.abc import Iterable
from dataclasses import dataclass

from .broadcast import Broadcaster
from .catalogue import SimulatedInstrument
from .market import Market

__all__ = ["Lifecycle"]

#: The states that an instrument goes through, each with the milliseconds since it was listed or expired: in the
#: vocabulary of January 2026 and in the one before. How long the exchange takes is not documented.
_LISTED = {True: ((0, "open"),), False: ((0, "created"), (0, "started"))}
_ENDED = {
    True: ((0, "settlement"), (3_000, "delivered"), (60_000, "archivized")),
    False: ((0, "deactivated"), (3_000, "settled"), (3_000, "closed"), (60_000, "terminated")),
}


@dataclass(frozen=True, slots=True)
class _Announcement:
    """A state that an instrument enters at a moment (UNIX ms)."""

    at: int
    instrument: SimulatedInstrument
    state: str


class Lifecycle:
    """Compares what is listed with what was, and tells the difference; ``states_of_2026`` chooses the vocabulary."""

    def __init__(self, market: Market, broadcaster: Broadcaster, now_ms: int, *, states_of_2026: bool) -> None:
        self._market = market
        self._broadcaster = broadcaster
        self._listed_words, self._ended_words = _LISTED[states_of_2026], _ENDED[states_of_2026]
        self._known = market.instruments(now_ms)
        self._waiting: list[_Announcement] = []

    def step(self, now_ms: int) -> None:
        """Publishes the states that instruments entered since the last step."""
        listed = self._market.instruments(now_ms)
        if listed is not self._known:
            before, self._known = self._known, listed
            self._enter(now_ms, (before[name] for name in before if name not in listed), self._ended_words)
            added = [listed[name] for name in listed if name not in before]
            for instrument in added:
                self._publish("creation", instrument, instrument.json())
            self._enter(now_ms, added, self._listed_words)
        if self._waiting:
            due = [one for one in self._waiting if one.at <= now_ms]
            self._waiting = [one for one in self._waiting if one.at > now_ms]
            for one in due:
                data = {"timestamp": now_ms, "state": one.state, "instrument_name": one.instrument.name}
                self._publish("state", one.instrument, data)

    def _enter(
        self, now_ms: int, instruments: Iterable[SimulatedInstrument], words: tuple[tuple[int, str], ...]
    ) -> None:
        for instrument in instruments:
            self._waiting += [_Announcement(now_ms + after, instrument, state) for after, state in words]

    def _publish(self, what: str, instrument: SimulatedInstrument, data: dict[str, object]) -> None:
        for kind in (instrument.kind, "any"):
            for currency in (instrument.currency, "any"):
                self._broadcaster.publish_event(f"instrument.{what}.{kind}.{currency}", data)
