"""What the exchange announces of itself: maintenance, locked indices, resting instruments. None of it is a failure.

Source: https://docs.deribit.com/subscriptions/platform/platform_state.md. It knows no socket and no clock.
"""

from collections.abc import Iterable

import msgspec

from .channels import INSTRUMENT_STATE, PLATFORM_STATE, PUBLIC_METHODS
from .messages import InstrumentState, PlatformState, PublicMethods, decode_as

__all__ = ["ExchangeStatus"]

#: The states are open-ended words: with these prices are sent, with any other they may rest.
_TRADING = frozenset({"", "open", "created", "started"})
_ENDED = frozenset({"closed", "terminated", "deactivated", "delivered", "archivized"})


class ExchangeStatus:
    """The announced reasons why the exchange may send no price of a ticker."""

    def __init__(self) -> None:
        self.maintenance = False
        self.public_methods = True
        self.locked: set[str] = set()
        self._resting: dict[str, str] = {}

    def receive(self, channel: str, data: msgspec.Raw) -> InstrumentState | None:
        """Take a notification; returns the change of an instrument's state, if it is one.

        Raises UnreadableMessage for data of another shape than documented.
        """
        if channel == PLATFORM_STATE:
            self._platform(decode_as(PlatformState, data))
        elif channel == PUBLIC_METHODS:
            self.public_methods = decode_as(PublicMethods, data).allow_unauthenticated_public_requests
        elif channel == INSTRUMENT_STATE:
            change = decode_as(InstrumentState, data)
            self.instrument_state(change.instrument_name, change.state)
            return change
        return None

    def _platform(self, state: PlatformState) -> None:
        """One of the two shapes of ``platform_state``."""
        if state.maintenance is not None:
            self.maintenance = state.maintenance
        if state.price_index and state.locked is not None:
            (self.locked.add if state.locked else self.locked.discard)(state.price_index)

    def instrument_state(self, name: str, state: str) -> None:
        """Take the state of an instrument, which its prices carry as well."""
        if state in _TRADING:
            self._resting.pop(name, None)
        else:
            self._resting[name] = state

    def price_received(self, ticker: str) -> None:
        """A price arrived: a lock of the index is over, even if its end was missed. Maintenance needs its own end."""
        self.locked.discard(ticker)

    def rests(self, ticker: str) -> bool:
        """Whether the exchange announced that the ticker has no prices now."""
        return self.maintenance or ticker in self.locked or ticker in self._resting

    def ended(self, ticker: str) -> bool:
        """Whether the instrument has ended for good."""
        return self._resting.get(ticker) in _ENDED

    def reason(self, tickers: Iterable[str], *, authenticated: bool) -> str:
        """Why the tickers have no prices now, empty when the exchange announced nothing.

        An instrument that ended for good is no reason: it would be one for ever.
        """
        if self.maintenance:
            return "the exchange is in maintenance"
        if not self.public_methods and not authenticated:
            return "the exchange answers only authenticated requests at present"
        wanted = frozenset(tickers)
        if locked := sorted(self.locked & wanted):
            return f"locked by the exchange: {', '.join(locked)}"
        if resting := sorted(t for t in self._resting if t in wanted and not self.ended(t)):
            return "resting at the exchange: " + ", ".join(f"{t} ({self._resting[t]})" for t in resting)
        return ""
