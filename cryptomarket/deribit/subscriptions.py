"""Which channels are wanted, which the exchange confirmed, and what to ask next. A set, never a list of habits.

Demand outlives connections, confirmations die with them. It knows no socket; the time comes from its caller.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

import msgspec

from ..backoff import doubled
from .channels import BATCHED, PLATFORM, RAW, channel_of, is_raw, ticker_of

__all__ = ["Phase", "Subscriptions", "first_chunk"]

#: At most 500 channels a request, and a frame of more than 32 kB is refused without an id: both bind.
MOST_CHANNELS = 500
MOST_BYTES = 30_000


class Phase(Enum):
    """Where one channel stands with the exchange on this connection."""

    ASKED = "asked"
    CONFIRMED = "confirmed"
    LEAVING = "leaving"


@dataclass(slots=True)
class _Refusal:
    retry: float
    times: int = 1


def first_chunk(channels: Iterable[str], *, most: int = MOST_CHANNELS, most_bytes: int = MOST_BYTES) -> list[str]:
    """As many of the channels as one request may hold; raw ones by themselves, since one refused fails all."""
    chunk: list[str] = []
    size = 0
    for channel in sorted(channels, key=lambda name: (is_raw(name), name)):
        size += len(msgspec.json.encode(channel)) + 1
        if chunk and (size > most_bytes or len(chunk) >= most or is_raw(channel) is not is_raw(chunk[0])):
            break
        chunk.append(channel)
    return chunk


class Subscriptions:
    """The union of what is configured and what live streams ask for, each channel once, held against what is confirmed.

    A ticker nobody wants any more stays for the grace period, so that a page that reloads costs nothing.
    """

    def __init__(
        self,
        tickers: Iterable[str],
        *,
        raw: bool = False,
        grace_seconds: float = 30.0,
        refusal_seconds: float = 60.0,
        longest_refusal_seconds: float = 3600.0,
    ) -> None:
        self.always = frozenset(tickers)
        self.raw = raw
        self.grace_seconds = grace_seconds
        self.refusal_seconds = refusal_seconds
        self.longest_refusal_seconds = longest_refusal_seconds
        self.raw_allowed = False
        self._demand: frozenset[str] = frozenset()
        self._tickers = self.always
        self._released: dict[str, float] = {}
        self._phases: dict[str, Phase] = {}
        self._renewing: set[str] = set()
        self._suspects: list[list[str]] = []
        self._held: dict[str, float] = {}
        self._refused: dict[str, _Refusal] = {}

    def __repr__(self) -> str:
        confirmed = len(self.confirmed())
        return f"<Subscriptions {len(self.always | self._demand)} wanted, {confirmed} confirmed>"

    # Demand

    def want(self, tickers: Iterable[str], now: float) -> list[str]:
        """Replace the tickers live streams ask for; returns those among the new ones that the exchange refuses."""
        demand = frozenset(tickers) - self.always
        for ticker in self._demand - demand:
            self._released[ticker] = now
        for ticker in demand:
            self._released.pop(ticker, None)
        fresh, self._demand = demand - self._demand, demand
        self._tickers = self.always | demand
        return [ticker for ticker in sorted(fresh) if self._channel(ticker) in self._refused]

    def wanted(self, now: float) -> set[str]:
        """The channels to hold: prices of all wanted tickers, and the platform's own state."""
        for ticker in [t for t, since in self._released.items() if now - since >= self.grace_seconds]:
            del self._released[ticker]
        tickers = self.always | self._demand | self._released.keys()
        return {self._channel(ticker) for ticker in tickers}.union(PLATFORM)

    def tickers(self) -> frozenset[str]:
        """The tickers somebody wants now, without those in grace."""
        return self._tickers

    def _channel(self, ticker: str) -> str:
        return channel_of(ticker, RAW if self.raw and self.raw_allowed else BATCHED)

    # The exchange

    def joinable(self, now: float) -> list[str]:
        """The wanted channels that should be subscribed now."""
        if self._suspects:
            return self._suspects[0]
        return [c for c in self.wanted(now) if c not in self._phases and not self._waits(c, now)]

    def leavable(self, now: float) -> list[str]:
        """The confirmed channels that should be unsubscribed now: unwanted ones, and those to be renewed."""
        wanted = self.wanted(now) - self._renewing
        return [c for c, phase in self._phases.items() if phase is Phase.CONFIRMED and c not in wanted]

    def join(self, now: float) -> list[str]:
        """The channels of the subscribe request sent now; decided this late, a burst of demand is one request."""
        chunk = self._suspects.pop(0) if self._suspects else first_chunk(self.joinable(now))
        self._phases |= dict.fromkeys(chunk, Phase.ASKED)
        return chunk

    def leave(self, now: float) -> list[str]:
        """The channels of the unsubscribe request that is sent now."""
        chunk = first_chunk(self.leavable(now))
        self._phases |= dict.fromkeys(chunk, Phase.LEAVING)
        self._renewing.difference_update(chunk)
        return chunk

    def _waits(self, channel: str, now: float) -> bool:
        refusal = self._refused.get(channel)
        return self._held.get(channel, now) > now or (refusal is not None and refusal.retry > now)

    def answered(self, asked: Collection[str], accepted: Collection[str], now: float) -> list[str]:
        """A subscribe was answered; returns the channels silently dropped for the first time. Compared as sets."""
        news = []
        for channel in asked:
            if channel in accepted:
                self._phases[channel] = Phase.CONFIRMED
                self._held.pop(channel, None)
                self._refused.pop(channel, None)
            elif self._refuse(channel, now):
                news.append(channel)
        return news

    def _refuse(self, channel: str, now: float) -> bool:
        self._phases.pop(channel, None)
        known = self._refused.get(channel)
        times = known.times + 1 if known else 1
        pause = doubled(self.refusal_seconds, times - 1, cap_seconds=self.longest_refusal_seconds)
        self._refused[channel] = _Refusal(now + pause, times)
        return known is None

    def postponed(self, asked: Iterable[str], now: float, seconds: float) -> None:
        """A subscribe failed as a whole: its channels are asked again after a pause."""
        for channel in asked:
            self._phases.pop(channel, None)
            self._held[channel] = now + seconds

    def left(self, channels: Iterable[str]) -> None:
        """An unsubscribe was answered, or failed; what is wanted again is subscribed again."""
        for channel in channels:
            if self._phases.get(channel) is Phase.LEAVING:
                del self._phases[channel]

    def renew(self, channels: Iterable[str]) -> None:
        """Give confirmed channels back, to be subscribed afresh."""
        self._renewing.update(channels)

    def halve(self, channels: list[str]) -> None:
        """A request was refused for what one of its channels is: ask each half alone, to find which."""
        middle = len(channels) // 2
        self._suspects += [channels[:middle], channels[middle:]]

    def heard(self, channel: str) -> None:
        """Data came, which proves a subscription whose answer is late."""
        if self._phases.get(channel) is Phase.ASKED:
            self._phases[channel] = Phase.CONFIRMED
        self._refused.pop(channel, None)

    def lost(self) -> None:
        """The connection is gone, and every subscription with it; refused ones are tried again on the next."""
        self._phases.clear()
        self._renewing.clear()
        self._suspects.clear()
        self._held.clear()
        for refusal in self._refused.values():
            refusal.retry = 0.0

    def appeared(self, ticker: str) -> None:
        """The exchange lists the ticker (again): a refusal of it is worth another try."""
        for channel in (channel_of(ticker, BATCHED), channel_of(ticker, RAW)):
            if channel in self._refused:
                self._refused[channel].retry = 0.0

    def confirmed(self) -> set[str]:
        """The channels the exchange said it sends."""
        return {channel for channel, phase in self._phases.items() if phase is Phase.CONFIRMED}

    def refused(self) -> list[str]:
        """The wanted tickers the exchange does not send."""
        tickers = {ticker_of(channel) for channel in self._refused}
        return sorted(t for t in tickers if t is not None and t in self.tickers())
