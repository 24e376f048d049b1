"""The requests that subscribe and unsubscribe channels: when they are queued, and what each outcome leads to."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from ..errors import ExchangeRefused, ExchangeUnreachable
from ..model import Gap, Tick, is_index
from .channels import is_raw, ticker_of
from .effects import Effect, Outbox, ProtocolWarning
from .error_codes import METHOD_NOT_FOUND, Action, error_code
from .messages import UnreadableMessage, decode_as, read_price
from .outcomes import Outcomes, no_answer, refusal
from .protocol import Purpose, Request, Result
from .rate_limit import Priority
from .subscriptions import Subscriptions
from .timeouts import Timeouts
from .watchdog import Watchdog

__all__ = ["ChannelRequests"]


class ChannelRequests:
    """Holds the confirmed channels to the wanted ones, and subscribes silent channels again.

    ``login_lost`` is told of a request that the exchange refused for want of a login; it returns whether one follows
    at once.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        outbox: Outbox,
        timeouts: Timeouts,
        now: float,
        *,
        login_lost: Callable[[Request, ExchangeRefused, float], bool],
    ) -> None:
        self._subscriptions = subscriptions
        self._outbox = outbox
        self._timeouts = timeouts
        self._login_lost = login_lost
        self._watchdog = Watchdog(
            shortest_seconds=timeouts.rhythm,
            first_seconds=timeouts.first,
            unlearned_seconds=timeouts.unlearned,
            settle_seconds=timeouts.settle,
        )
        #: The channel whose state is being compared with the exchange's: one at a time, which bounds their cost.
        self._comparing: str | None = None
        self._compares = True
        self._queued: set[Purpose] = set()
        self._last_price = now

    @property
    def outcomes(self) -> dict[Purpose, Outcomes]:
        """The rows of the outcome table that belong to channels."""
        return {
            Purpose.SUBSCRIBE: Outcomes(self._subscribed, self._subscribe_refused, self._subscribe_expired),
            Purpose.UNSUBSCRIBE: Outcomes(self._unsubscribed, self._unsubscribe_refused, self._unsubscribe_expired),
            Purpose.COMPARE: Outcomes(self._compared, self._compare_refused, self._compare_expired),
        }

    def start(self, now: float) -> None:
        """The connection is open: the silence of prices counts from now."""
        self._last_price = now

    def queue(self, now: float) -> None:
        """Queue a request of each kind that has channels; which channels is decided when it is sent."""
        for purpose, channels in (
            (Purpose.UNSUBSCRIBE, self._subscriptions.to_unsubscribe()),
            (Purpose.SUBSCRIBE, self._subscriptions.to_subscribe(now)),
        ):
            if channels and purpose not in self._queued:
                self._queued.add(purpose)
                self._outbox.add(f"public/{purpose.value}", purpose, Priority.SUBSCRIBE)

    def params(self, purpose: Purpose, now: float) -> dict[str, Any] | None:
        """The parameters of a request that is sent now; None when no channel is left for it."""
        self._queued.discard(purpose)
        joining = purpose is Purpose.SUBSCRIBE
        channels = self._subscriptions.next_subscribe(now) if joining else self._subscriptions.next_unsubscribe()
        self.queue(now)  # channels beyond the limits of one request
        return {"channels": channels} if channels else None

    def data_received(self, channel: str, tick: Tick | None, now: float) -> None:
        """Data of a ticker arrived on the channel, None for data without a price."""
        self._watchdog.data_received(channel, tick, now)
        if tick is not None:
            self._last_price = now

    def check_silence(self, rests: Callable[[str], bool], now: float) -> None:
        """Subscribe lost channels again, compare silent ones; ``rests`` returns whether a ticker rests.

        Raises ExchangeUnreachable when no channel of a configured ticker carries prices although each was subscribed
        again. What streams want does not count: their quiet instruments must not end the connection of all.
        """
        prices = {c: ticker for c in self._subscriptions.confirmed() if (ticker := ticker_of(c))}
        resting = {channel for channel, ticker in prices.items() if rests(ticker)}
        self._watchdog.pause(resting, now)
        silent = self._watchdog.to_compare(prices, now)
        lost = self._watchdog.lost(prices, now) + [c for c in silent if is_index(prices[c]) or not self._compares]
        configured = self._subscriptions.configured
        active = {channel for channel, ticker in prices.items() if ticker in configured} - resting
        if not active:
            self._last_price = now
        starved = now - self._last_price > self._timeouts.starvation
        if active and starved and all(map(self._watchdog.resubscriptions, active)):
            raise ExchangeUnreachable("the exchange answers but sends no prices")
        for channel in lost:
            self._watchdog.resubscribed(channel, now)
        self._subscriptions.renew(lost)
        self._watchdog.retain(self._subscriptions.wanted())
        self._compare([channel for channel in silent if channel not in lost], configured)
        self.queue(now)

    # Compare

    def _compare(self, silent: list[str], configured: Collection[str]) -> None:
        """Ask for the present price of one silent instrument, those of configured tickers first."""
        if self._comparing is None and silent:
            self._comparing = min(silent, key=lambda channel: ticker_of(channel) not in configured)
            ticker = ticker_of(self._comparing)
            self._outbox.add("public/ticker", Purpose.COMPARE, Priority.SUBSCRIBE, instrument_name=ticker)

    def _compared(self, result: Result, now: float) -> list[Effect]:
        channel, self._comparing = self._comparing, None
        ticker, sent = result.request.params["instrument_name"], result.request.sent
        if channel is None:
            return []
        try:
            self._watchdog.compared(channel, read_price(ticker, result.result).tick, sent, now)
        except UnreadableMessage:
            self._watchdog.pause([channel], now)
        return []

    def _compare_refused(self, _request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        """A host that knows no such method leaves only to subscribe again."""
        self._compares = self._compares and error.code != METHOD_NOT_FOUND
        return self._not_compared(now)

    def _compare_expired(self, _request: Request, now: float) -> list[Effect]:
        return self._not_compared(now)

    def _not_compared(self, now: float) -> list[Effect]:
        channel, self._comparing = self._comparing, None
        if channel is not None:
            self._watchdog.pause([channel], now)
        return []

    # Subscribe

    def _subscribed(self, result: Result, now: float) -> list[Effect]:
        requested = result.request.params["channels"]
        try:
            accepted = set(decode_as(list[str], result.result))
        except UnreadableMessage as exc:
            self._subscriptions.postpone(requested, now, self._timeouts.retry)
            raise UnreadableMessage(f"answer to subscribe: {exc}") from None
        dropped = self._subscriptions.answered(requested, accepted, now)
        for channel in accepted:
            self._watchdog.expect(channel, now)
        return list(_gaps(dropped))

    def _subscribe_refused(self, request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        channels, action = request.params["channels"], error_code(error.code).action
        hopeless = action in (Action.GIVE_UP, Action.STOP)
        if action is Action.LOG_IN and self._login_lost(request, error, now):
            self._subscriptions.postpone(channels, now, self._timeouts.retry)  # raw ones only until the login
        elif action is Action.LOG_IN and any(map(is_raw, channels)):
            self._subscriptions.raw_refused()
            self._subscriptions.postpone(channels, now, 0.0)
            self.queue(now)
        elif hopeless and (len(channels) == 1 or error.code == METHOD_NOT_FOUND):
            dropped = self._subscriptions.answered(channels, (), now)
            return [ProtocolWarning(str(error)), *_gaps(dropped)]
        elif hopeless:
            self._subscriptions.split(channels)  # one wrong name fails the whole request
        else:
            self._subscriptions.postpone(channels, now, self._timeouts.retry)
        return refusal(request, error, now)

    def _subscribe_expired(self, request: Request, now: float) -> list[Effect]:
        confirmed = self._subscriptions.confirmed()  # data can prove a channel whose answer was lost
        self._subscriptions.postpone([c for c in request.params["channels"] if c not in confirmed], now, 0.0)
        return no_answer(request, now)

    # Unsubscribe

    def _unsubscribed(self, result: Result, now: float) -> list[Effect]:
        self._subscriptions.unsubscribed(result.request.params["channels"])
        self.queue(now)
        return []

    def _unsubscribe_refused(self, request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        self._subscriptions.unsubscribed(request.params["channels"])
        return refusal(request, error, now)

    def _unsubscribe_expired(self, request: Request, now: float) -> list[Effect]:
        self._subscriptions.unsubscribed(request.params["channels"])
        return no_answer(request, now)


def _gaps(channels: Iterable[str]) -> Iterable[Gap]:
    return (Gap(ticker) for channel in channels if (ticker := ticker_of(channel)))
