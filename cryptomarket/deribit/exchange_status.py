"""What the exchange announces of itself: maintenance, locked indices, resting instruments. None of it is a failure.

Source: https://docs.deribit.com/subscriptions/platform/platform_state.md. It knows no socket and no clock.
"""

from collections.abc import Callable, Iterable, Set

import msgspec

from ..model import InstrumentChanged
from .channels import INSTRUMENT_CREATION, INSTRUMENT_STATE, PLATFORM_STATE, PUBLIC_METHODS, is_ticker
from .instrument_states import StateMeaning, meaning_of
from .instruments import InstrumentData
from .messages import InstrumentState, PlatformState, PublicMethods, decode_as

__all__ = ["ExchangeStatus"]

#: So many prices of a ticker show that the lock of its index is over: the first may come from subscribing the channel.
PRICES_AFTER_LOCK = 2


class ExchangeStatus:
    """The announced reasons why the exchange may send no price of a ticker.

    ``wanted`` returns the tickers whose states are remembered: the exchange announces those of thousands of others.
    ``price_index`` returns the index that an instrument belongs to, None while that is not known.
    """

    def __init__(
        self,
        wanted: Callable[[], Set[str]] = frozenset,
        price_index: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.maintenance = False
        self.public_methods = True
        #: How often something changed: what is computed from it may be kept until then.
        self.changes = 0
        self._wanted = wanted
        self._price_index = price_index
        #: The locked indices, each with the number of prices that arrived since, by ticker.
        self._locked: dict[str, dict[str, int]] = {}
        #: The states of the wanted instruments that rest or have ended.
        self._resting: dict[str, str] = {}

    def receive(self, channel: str, data: msgspec.Raw) -> InstrumentChanged | None:
        """Take a notification; returns the instrument that it lists or ends, if it does.

        Raises UnreadableMessage for data of another shape than documented.
        """
        if channel == PLATFORM_STATE:
            self._platform(decode_as(PlatformState, data))
        elif channel == PUBLIC_METHODS:
            self.public_methods = decode_as(PublicMethods, data).allow_unauthenticated_public_requests
            self.changes += 1
        elif channel == INSTRUMENT_STATE:
            change = decode_as(InstrumentState, data)
            return self._instrument_changed(change.instrument_name, change.state)
        elif channel == INSTRUMENT_CREATION:
            created = decode_as(InstrumentData, data)
            if is_ticker(created.instrument_name):
                self.instrument_state(created.instrument_name, created.state or "")
                return InstrumentChanged(created.instrument_name, listed=True, instrument=created.instrument())
        return None

    def _platform(self, state: PlatformState) -> None:
        """One of the two shapes of ``platform_state``."""
        if state.maintenance is not None:
            self.maintenance = state.maintenance
        if state.price_index and state.locked:
            self._locked[state.price_index] = {}
        elif state.price_index and state.locked is not None:
            self._locked.pop(state.price_index, None)
        self.changes += 1

    def _instrument_changed(self, name: str, state: str) -> InstrumentChanged | None:
        meaning = meaning_of(state)
        if not is_ticker(name) or (self.ended(name) and meaning is not StateMeaning.LISTED):
            return None  # one end has several words, in any order
        self.instrument_state(name, state)
        return None if meaning is StateMeaning.RESTING else InstrumentChanged(name, meaning is StateMeaning.LISTED)

    def instrument_state(self, name: str, state: str, *, priced: bool = False) -> bool:
        """Take the state of an instrument, ``priced`` if it came with a price; returns whether it ends a wanted one."""
        meaning = meaning_of(state, priced=priced)
        if meaning is StateMeaning.LISTED:
            if self._resting.pop(name, None) is not None:
                self.changes += 1
            return False
        if state == self._resting.get(name) or self.ended(name) or name not in self._wanted():
            return False
        self._resting[name] = state
        self.changes += 1
        return meaning is StateMeaning.ENDED

    def forget_unwanted(self) -> None:
        """The demand changed: forget the instruments that nobody wants any more."""
        wanted = self._wanted()
        self._resting = {name: state for name, state in self._resting.items() if name in wanted}
        for prices in self._locked.values():
            for ticker in prices.keys() - wanted:
                del prices[ticker]

    def price_received(self, ticker: str) -> None:
        """A price arrived: the second one since a lock shows that the ticker is not locked, even if the end was missed.

        Maintenance needs its own end.
        """
        index = self._locked_index(ticker) if self._locked else None
        if index is not None:
            prices = self._locked[index]
            prices[ticker] = prices.get(ticker, 0) + 1
            self.changes += 1

    def _locked_index(self, ticker: str) -> str | None:
        """The locked index that explains why the ticker has no prices, None if there is none."""
        index = ticker if ticker in self._locked else self._price_index(ticker)
        if index is None or self._locked.get(index, {}).get(ticker, 0) >= PRICES_AFTER_LOCK:
            return None
        return index if index in self._locked else None

    def rests(self, ticker: str) -> bool:
        """Whether the exchange announced that the ticker has no prices now."""
        return self.maintenance or ticker in self._resting or self._locked_index(ticker) is not None

    def ended(self, ticker: str) -> bool:
        """Whether the wanted instrument has ended for good."""
        return meaning_of(self._resting.get(ticker, "")) is StateMeaning.ENDED

    def reason(self, tickers: Iterable[str], *, authenticated: bool) -> str:
        """Why the tickers have no prices now, empty when the exchange announced nothing.

        An instrument that ended for good is no reason: it would be one for ever.
        """
        if self.maintenance:
            return "the exchange is in maintenance"
        if not self.public_methods and not authenticated:
            return "the exchange answers only authenticated requests at present"
        if not self._locked and not self._resting:
            return ""
        wanted = sorted(tickers)
        if locked := self._lock_reason(wanted):
            return f"locked by the exchange: {locked}"
        if resting := [t for t in wanted if t in self._resting and not self.ended(t)]:
            return "resting at the exchange: " + ", ".join(f"{t} ({self._resting[t]})" for t in resting)
        return ""

    def _lock_reason(self, tickers: Iterable[str]) -> str:
        """The locked indices of the tickers, each with the instruments that it locks."""
        instruments: dict[str, list[str]] = {}
        for ticker in tickers:
            if (index := self._locked_index(ticker)) is not None:
                instruments.setdefault(index, []).extend([ticker] if ticker != index else [])
        return ", ".join(
            f"{index} (index of {', '.join(names)})" if names else index for index, names in sorted(instruments.items())
        )
