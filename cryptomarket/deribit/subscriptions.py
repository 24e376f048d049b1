"""Which channels are wanted, which the exchange confirmed, and which to subscribe or unsubscribe next.

Demand outlives connections, confirmations die with them. It knows no socket; the time comes from its caller.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

import msgspec

from ..backoff import doubled
from ..statements.limits import CHANNELS_PER_REQUEST, REQUEST_BYTES
from .channels import BATCHED, PLATFORM, RAW, channel_of, is_raw, ticker_of

__all__ = ["Phase", "Subscriptions", "first_chunk"]

MAX_CHANNELS = CHANNELS_PER_REQUEST.value
#: The rest of the largest request is for what is around the names.
MAX_BYTES = REQUEST_BYTES.value - 2_768


class Phase(Enum):
    """Where a channel stands with the exchange on this connection."""

    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    LEAVING = "leaving"


@dataclass(slots=True)
class _Refusal:
    retry_at: float
    times: int = 1


def first_chunk(channels: Iterable[str], *, max_channels: int = MAX_CHANNELS, max_bytes: int = MAX_BYTES) -> list[str]:
    """As many of the channels as one request may hold; raw ones never share it, since one refused fails all."""
    chunk: list[str] = []
    size = 0
    for channel in sorted(channels, key=lambda name: (is_raw(name), name)):
        size += len(msgspec.json.encode(channel)) + 1
        full = size > max_bytes or len(chunk) >= max_channels
        if chunk and (full or is_raw(channel) is not is_raw(chunk[0])):
            break
        chunk.append(channel)
    return chunk


class Subscriptions:
    """The channels of the configured tickers and of those that live streams want, each once, and their phases."""

    def __init__(
        self,
        tickers: Iterable[str],
        *,
        raw: bool = False,
        refusal_seconds: float = 60.0,
        longest_refusal_seconds: float = 3600.0,
    ) -> None:
        self.configured = frozenset(tickers)
        self.raw = raw
        self.refusal_seconds = refusal_seconds
        self.longest_refusal_seconds = longest_refusal_seconds
        self._raw_allowed = False
        self._demand: frozenset[str] = frozenset()
        self._tickers = self.configured  # kept, because it is read for every tick
        self._phases: dict[str, Phase] = {}
        self._renewing: set[str] = set()
        self._suspects: list[list[str]] = []
        self._postponed: dict[str, float] = {}
        self._refused: dict[str, _Refusal] = {}
        #: The wanted instruments that have ended: on each new connection their channels are refused.
        self._ended: set[str] = set()

    def __repr__(self) -> str:
        return f"<Subscriptions {len(self.tickers())} wanted, {len(self.confirmed())} confirmed>"

    # Demand

    def want(self, tickers: Iterable[str]) -> list[str]:
        """Replace the tickers that live streams want; returns the new ones among them that the exchange refuses."""
        demand = frozenset(tickers) - self.configured
        added, self._demand = demand - self._demand, demand
        self._tickers = self.configured | demand
        for ticker in self._ended - self._tickers:
            self.listed(ticker)
            for interval in (BATCHED, RAW):
                self._refused.pop(channel_of(ticker, interval), None)
        return [ticker for ticker in sorted(added) if self._channel(ticker) in self._refused]

    def wanted(self) -> set[str]:
        """The channels to hold: prices of all wanted tickers, and the state of the platform."""
        return {self._channel(ticker) for ticker in self.tickers()}.union(PLATFORM)

    def tickers(self) -> frozenset[str]:
        """The wanted tickers."""
        return self._tickers

    def _channel(self, ticker: str) -> str:
        return channel_of(ticker, RAW if self.all_changes else BATCHED)

    # Login

    def login_changed(self, authenticated: bool) -> None:
        """Raw channels need a login: the wanted channels change with it, and refused ones are requested now."""
        self._raw_allowed = authenticated
        for channel in filter(is_raw, list(self._postponed)):
            del self._postponed[channel]

    @property
    def all_changes(self) -> bool:
        """Whether the wanted channels of instruments carry every change."""
        return self.raw and self._raw_allowed

    def raw_refused(self) -> None:
        """The exchange refused a raw channel: the batched ones are wanted until the next login."""
        self._raw_allowed = False

    # What to request

    def to_subscribe(self, now: float) -> list[str]:
        """The wanted channels that should be subscribed now: those of configured tickers before all others.

        A name that only streams want may be refused, and with it the whole request.
        """
        if self._suspects:
            return self._suspects[0]
        due = [c for c in self.wanted() if c not in self._phases and not self._waits(c, now)]
        first = [c for c in due if (ticker := ticker_of(c)) is None or ticker in self.configured]
        return first if any(map(ticker_of, first)) else due

    def to_unsubscribe(self) -> list[str]:
        """The confirmed channels that should be unsubscribed now: unwanted ones, and those to be renewed."""
        kept = self.wanted() - self._renewing
        return [c for c, phase in self._phases.items() if phase is Phase.CONFIRMED and c not in kept]

    def next_subscribe(self, now: float) -> list[str]:
        """The channels of the subscribe request sent now; decided this late, a burst of demand is one request."""
        chunk = self._suspects.pop(0) if self._suspects else first_chunk(self.to_subscribe(now))
        self._phases |= dict.fromkeys(chunk, Phase.REQUESTED)
        return chunk

    def next_unsubscribe(self) -> list[str]:
        """The channels of the unsubscribe request sent now."""
        chunk = first_chunk(self.to_unsubscribe())
        self._phases |= dict.fromkeys(chunk, Phase.LEAVING)
        self._renewing.difference_update(chunk)
        return chunk

    def _waits(self, channel: str, now: float) -> bool:
        refusal = self._refused.get(channel)
        return self._postponed.get(channel, now) > now or (refusal is not None and refusal.retry_at > now)

    # What the exchange does

    def answered(self, requested: Collection[str], accepted: Collection[str], now: float) -> list[str]:
        """A subscribe was answered; returns the channels that the answer omits for the first time."""
        dropped = []
        for channel in requested:
            if channel in accepted:
                self._phases[channel] = Phase.CONFIRMED
                self._postponed.pop(channel, None)
                self._refused.pop(channel, None)
            elif self._refuse(channel, now):
                dropped.append(channel)
        return dropped

    def _refuse(self, channel: str, now: float) -> bool:
        self._phases.pop(channel, None)
        known = self._refused.get(channel)
        times = known.times + 1 if known else 1
        pause = doubled(self.refusal_seconds, times - 1, cap_seconds=self.longest_refusal_seconds)
        self._refused[channel] = _Refusal(now + pause, times)
        return known is None and ticker_of(channel) not in self._ended

    def postpone(self, requested: Iterable[str], now: float, seconds: float) -> None:
        """A subscribe failed as a whole: its channels are requested again after a pause."""
        for channel in requested:
            self._phases.pop(channel, None)
            self._postponed[channel] = now + seconds

    def unsubscribed(self, channels: Iterable[str]) -> None:
        """An unsubscribe was answered, or failed; a channel that is still wanted is subscribed again."""
        for channel in channels:
            if self._phases.get(channel) is Phase.LEAVING:
                del self._phases[channel]

    def renew(self, channels: Iterable[str]) -> None:
        """Unsubscribe confirmed channels, to subscribe them again."""
        self._renewing.update(channels)

    def split(self, channels: list[str]) -> None:
        """A request was refused because of one of its channels: request each half alone, to find which."""
        middle = len(channels) // 2
        self._suspects += [channels[:middle], channels[middle:]]

    def data_received(self, channel: str) -> None:
        """Data arrived, which proves a subscription whose answer is late."""
        if self._phases.get(channel) is Phase.REQUESTED:
            self._phases[channel] = Phase.CONFIRMED
        self._refused.pop(channel, None)

    def connection_lost(self) -> None:
        """The connection is gone, and every subscription with it; refused channels are tried again on the next."""
        self._raw_allowed = False
        self._phases.clear()
        self._renewing.clear()
        self._suspects.clear()
        self._postponed.clear()
        for refusal in self._refused.values():
            refusal.retry_at = 0.0

    def ended(self, ticker: str) -> bool:
        """The instrument has ended; returns whether it is wanted, and no connection has told of its end before."""
        new = ticker in self._tickers and ticker not in self._ended
        if new:
            self._ended.add(ticker)
        return new

    def has_ended(self, ticker: str) -> bool:
        """Whether the instrument is wanted and has ended."""
        return ticker in self._ended

    def listed(self, ticker: str) -> None:
        """The exchange lists the ticker (again): its refused channels are tried again now."""
        self._ended.discard(ticker)
        for channel in (channel_of(ticker, BATCHED), channel_of(ticker, RAW)):
            if channel in self._refused:
                self._refused[channel].retry_at = 0.0

    def confirmed(self) -> set[str]:
        """The channels that the exchange confirmed."""
        return {channel for channel, phase in self._phases.items() if phase is Phase.CONFIRMED}

    def all_refused(self) -> bool:
        """Whether the exchange refused every configured ticker and its own channels too: no name of ours is wrong."""
        return all(channel in self._refused for channel in {*map(self._channel, self.configured), *PLATFORM})

    def refused(self) -> list[str]:
        """The wanted tickers that the exchange does not send."""
        tickers = {ticker_of(channel) for channel in self._refused}
        return sorted(t for t in tickers if t is not None and t in self.tickers())
