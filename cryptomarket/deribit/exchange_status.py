"""What the exchange says of itself: maintenance, locked indices, instruments that rest. Told apart from failure.

Source: https://docs.deribit.com/subscriptions/platform/platform_state.md. Pure values, fed with decoded messages.
"""

from collections.abc import Iterable

import msgspec

from .channels import INSTRUMENT_STATE, PLATFORM_STATE, PUBLIC_METHODS
from .messages import InstrumentState, PlatformState, PublicMethods, decode_as

__all__ = ["ExchangeStatus"]

#: Both channels of state use open-ended words; these mean that prices flow, everything else that they may rest.
_TRADING = frozenset({"", "open", "created", "started"})
_ENDED = frozenset({"closed", "terminated", "deactivated", "delivered", "archivized"})


class ExchangeStatus:
    """The exchange's own account of why a price may be silent."""

    def __init__(self) -> None:
        self.maintenance = False
        self.public_methods = True
        self.locked: set[str] = set()
        self._resting: dict[str, str] = {}

    def hear(self, channel: str, data: msgspec.Raw) -> InstrumentState | None:
        """Take a notification; returns an instrument's change of state. Raises UnreadableMessage for another shape."""
        if channel == PLATFORM_STATE:
            self._platform(decode_as(PlatformState, data))
        elif channel == PUBLIC_METHODS:
            self.public_methods = decode_as(PublicMethods, data).allow_unauthenticated_public_requests
        elif channel == INSTRUMENT_STATE:
            change = decode_as(InstrumentState, data)
            self.ticker(change.instrument_name, change.state)
            return change
        return None

    def _platform(self, state: PlatformState) -> None:
        """One of the two shapes of ``platform_state``."""
        if state.maintenance is not None:
            self.maintenance = state.maintenance
        if state.price_index and state.locked is not None:
            (self.locked.add if state.locked else self.locked.discard)(state.price_index)

    def ticker(self, name: str, state: str) -> None:
        """Take the state that an instrument's own ticker carries."""
        if state in _TRADING:
            self._resting.pop(name, None)
        else:
            self._resting[name] = state

    def flows(self, ticker: str) -> None:
        """A price of the index came: a lock whose end we missed is over. Maintenance ends when the exchange says so."""
        self.locked.discard(ticker)

    def rests(self, ticker: str) -> bool:
        """Whether the silence of the ticker is the exchange's intention."""
        return self.maintenance or ticker in self.locked or ticker in self._resting

    def ended(self, ticker: str) -> bool:
        """Whether the instrument is over for good."""
        return self._resting.get(ticker) in _ENDED

    def reason(self, tickers: Iterable[str], *, authenticated: bool) -> str:
        """A sentence of what keeps the tickers from flowing, empty when nothing does."""
        if self.maintenance:
            return "the exchange is in maintenance"
        if not self.public_methods and not authenticated:
            return "the exchange answers only those who log in at present"
        wanted = frozenset(tickers)
        if locked := sorted(self.locked & wanted):
            return f"locked by the exchange: {', '.join(locked)}"
        if resting := sorted(t for t in self._resting if t in wanted):
            return "resting at the exchange: " + ", ".join(f"{t} ({self._resting[t]})" for t in resting)
        return ""
