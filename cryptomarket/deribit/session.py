"""The life of one connection, without the connection: what to ask when, and what every answer changes.

The order after connecting is hello, login, heartbeat, confirmed subscriptions; then prices. Prices need no login, so
a login that fails is said and passed by. It awaits nothing; texts and times come from its caller.
"""

import time
from collections.abc import Callable
from typing import Any

from ..errors import ExchangeRefused, ExchangeUnreachable
from ..model import Gap
from .application_login import ApplicationLogin
from .auth import Grant
from .channels import is_raw, ticker_of
from .effects import Effect, InstrumentChanged, Outgoing, ProtocolWarning
from .error_codes import Action, error_code
from .exchange_status import ExchangeStatus
from .messages import UnreadableMessage, decode_as, read_price
from .protocol import (
    ConnectionState,
    ErrorReply,
    Event,
    Expired,
    Lost,
    Notified,
    Protocol,
    Purpose,
    Request,
    Result,
    Step,
    Undecodable,
)
from .rate_limit import Priority, RateLimiter
from .subscriptions import Subscriptions
from .timeouts import Timeouts
from .watchdog import Pulse, Watchdog

__all__ = ["ExchangeSession"]

CLIENT_NAME = "cryptomarket"
#: A peer that says this often what nobody can read is not the exchange, or no longer well.
MOST_UNDECODABLE = 20


class ExchangeSession:
    """Drives the protocol through one connection and turns what the exchange says into ticks, gaps and troubles.

    `start`, then `receive` for each text and `look` every now and then; after each, send `replies()` at once and
    `wishes()` as the budget allows, each through `ask` at the moment of sending; at the end, `close`.
    Raises ExchangeRefused or ExchangeUnreachable when the connection is no good any more.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        login: ApplicationLogin,
        budget: RateLimiter,
        *,
        patience: Timeouts | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.subscriptions = subscriptions
        self.login = login
        self.budget = budget
        self.patience = patience or Timeouts()
        self.protocol = Protocol(answer_seconds=self.patience.answer)
        self.platform = ExchangeStatus()
        self.flowed = False
        #: The exchange announced that it ends this connection; the close that follows does not say why.
        self.doom: ExchangeRefused | None = None
        self._monotonic = monotonic
        self._watchdog = Watchdog(shortest_seconds=self.patience.rhythm, first_seconds=self.patience.first)
        self._wishes: list[Outgoing] = []
        self._wishing: set[Purpose] = set()
        self._number = 0
        self._pulse = Pulse(self.patience.silence, self.patience.probe, monotonic())
        self._undecodable = 0
        self._last_price = monotonic()

    def __repr__(self) -> str:
        return f"<Session {self.protocol.state.value}>"

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self.protocol.state is not ConnectionState.CLOSED

    # Intentions

    def start(self) -> None:
        """The connection stands: greet."""
        self.protocol.move(Step.GREET)
        self._last_price = self._monotonic()
        self._pulse.beat(self._last_price)
        self._wish("public/hello", Purpose.HELLO, Priority.LOGIN, client_name=CLIENT_NAME, client_version="1")

    @property
    def wishful(self) -> bool:
        """Whether there is something to send."""
        return bool(self._wishes)

    def wishes(self) -> list[Outgoing]:
        """What became due since the last call; each is handed out once."""
        wishes, self._wishes = self._wishes, []
        return wishes

    def ask(self, wish: Outgoing) -> tuple[Request, str] | None:
        """The request of a wish that is sent now, and its text; None when there is nothing left to ask."""
        now, params = self._monotonic(), wish.params
        if wish.purpose is Purpose.LOGIN:
            params = self.login.params()
        elif wish.purpose in (Purpose.SUBSCRIBE, Purpose.UNSUBSCRIBE):
            self._wishing.discard(wish.purpose)
            joining = wish.purpose is Purpose.SUBSCRIBE
            channels = self.subscriptions.join(now) if joining else self.subscriptions.leave(now)
            self._ask_for_channels(now)  # what did not fit into this request
            if not channels:
                return None
            params = {"channels": channels}
        greeting = wish.purpose in (Purpose.HELLO, Purpose.LOGIN, Purpose.HEARTBEAT)
        within = self.patience.greeting if greeting else self.patience.probe if wish.purpose is Purpose.PROBE else None
        return self.protocol.request(wish.method, params, wish.purpose, now, within=within)

    def replies(self) -> list[str]:
        """The texts that must be sent at once."""
        return self.protocol.replies()

    def _wish(self, method: str, purpose: Purpose, priority: Priority, **params: Any) -> None:
        self._number += 1
        self._wishes.append(Outgoing(priority, self._number, method, purpose, params))

    # What arrives

    def receive(self, text: str | bytes) -> list[Effect]:
        """What a message of the exchange means for the rest of the program."""
        now = self._monotonic()
        self._pulse.beat(now)
        outputs: list[Effect] = []
        for event in self.protocol.receive(text, now):
            outputs += self._handle(event, now)
        return outputs

    def _handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Notified():
                return self._notified(event, now)
            case Result():
                return self._answered(event, now)
            case ErrorReply():
                if event.request is None:
                    return [ProtocolWarning(f"an error that names no request: {event.code} {event.message}")]
                return self._refused(event, event.request, now)
            case Expired():
                return self._expired(event, now)
            case Undecodable():
                return self._unreadable(event.reason)
            case Lost():
                return [event] if event.request.purpose is Purpose.CALL else []
            case _:  # a heartbeat, or an answer to what nobody waits for any more
                return []

    def _unreadable(self, reason: str) -> list[Effect]:
        self._undecodable += 1
        if self._undecodable >= MOST_UNDECODABLE:
            raise ExchangeUnreachable(f"{self._undecodable} frames made no sense, the last: {reason}")
        return [ProtocolWarning(f"a frame was passed over: {reason}")]

    def _notified(self, event: Notified, now: float) -> list[Effect]:
        self.subscriptions.heard(event.channel)
        ticker = ticker_of(event.channel)
        try:
            if ticker is None:
                return self._told(event)
            tick, state = read_price(ticker, event.data)
        except UnreadableMessage as exc:
            return self._unreadable(f"{event.channel[:80]}: {exc}")
        self.platform.ticker(ticker, state)
        if tick is None:
            return []
        self._watchdog.heard(event.channel, now)
        self.platform.flows(ticker)
        self._last_price = now
        if self.protocol.state is ConnectionState.SUBSCRIBING:
            self.protocol.move(Step.STREAM)
        self.flowed = True
        return [tick]

    def _told(self, event: Notified) -> list[Effect]:
        """The exchange speaks of itself."""
        change = self.platform.hear(event.channel, event.data)
        if change is None:
            return []
        if not self.platform.ended(change.instrument_name):
            self.subscriptions.appeared(change.instrument_name)
        return [InstrumentChanged(change.instrument_name, change.state)]

    # What is answered

    def _answered(self, event: Result, now: float) -> list[Effect]:
        match event.request.purpose:
            case Purpose.HELLO:
                self._log_in_or_set_heartbeat(now)
            case Purpose.LOGIN:
                return self._granted(event, now)
            case Purpose.HEARTBEAT:
                self._begin(now)
            case Purpose.SUBSCRIBE:
                return self._confirmed(event, now)
            case Purpose.UNSUBSCRIBE:
                self.subscriptions.left(event.request.params["channels"])
                self._ask_for_channels(now)
            case Purpose.PROBE:
                self._pulse.answered()
            case Purpose.CALL:
                return [event]
            case Purpose.REPLY:
                pass
        return []

    def _log_in_or_set_heartbeat(self, now: float) -> None:
        if self.login.due(now):
            self.protocol.move(Step.LOG_IN)
            self._log_in()
        else:
            self._set_heartbeat()

    def _log_in(self) -> None:
        self.login.sent()
        self._wish("public/auth", Purpose.LOGIN, Priority.LOGIN)

    def _set_heartbeat(self) -> None:
        self.protocol.move(Step.SET_HEARTBEAT)
        self._wish("public/set_heartbeat", Purpose.HEARTBEAT, Priority.LOGIN, interval=self.patience.heartbeat)

    def _begin(self, now: float) -> None:
        if self.protocol.state is ConnectionState.SETTING_HEARTBEAT:
            self.protocol.move(Step.SUBSCRIBE)
            self._ask_for_channels(now)

    def _granted(self, event: Result, now: float) -> list[Effect]:
        try:
            grant = decode_as(Grant, event.result)
        except UnreadableMessage as exc:
            return self._login_failed(str(exc), now, hopeless=False)
        troubles = self.login.granted(grant, now)
        self.subscriptions.raw_allowed = True
        if self.protocol.state is ConnectionState.LOGGING_IN:
            self._set_heartbeat()
        return [ProtocolWarning(what) for what in troubles]

    def _login_failed(self, reason: str, now: float, *, hopeless: bool) -> list[Effect]:
        """Public prices flow without a login: go on, and say once what is wrong."""
        known = self.login.problem
        self.login.failed(reason, now, hopeless=hopeless)
        self.subscriptions.raw_allowed = self.login.authenticated
        if self.protocol.state is ConnectionState.LOGGING_IN:
            self._set_heartbeat()
        return [ProtocolWarning(f"login failed: {reason}")] if self.login.problem != known else []

    def _confirmed(self, event: Result, now: float) -> list[Effect]:
        asked = event.request.params["channels"]
        try:
            accepted = set(decode_as(list[str], event.result))
        except UnreadableMessage as exc:
            self.subscriptions.postponed(asked, now, self.patience.retry)
            return self._unreadable(f"answer to subscribe: {exc}")
        dropped = self.subscriptions.answered(asked, accepted, now)
        for channel in accepted:
            self._watchdog.expect(channel, now)
        return [Gap(ticker) for channel in dropped if (ticker := ticker_of(channel))]

    # What is refused or never answered

    def _refused(self, event: ErrorReply, request: Request, now: float) -> list[Effect]:
        action = error_code(event.code).action
        error = ExchangeRefused(request.method, event.code, event.message, event.reason)
        if event.code == 10028:
            self.budget.slow_down(now)
            self.doom = error  # "the session is terminated" (rate-limits.md)
        elif event.code == 10066:
            self.budget.crowd_down(now)
        match request.purpose:
            case Purpose.HELLO:
                if error_code(event.code).passes:
                    raise error
                self._log_in_or_set_heartbeat(now)
            case Purpose.LOGIN:
                return self._login_failed(str(error), now, hopeless=action is Action.STOP)
            case Purpose.HEARTBEAT:
                self._begin(now)
            case Purpose.SUBSCRIBE:
                return self._not_subscribed(request, error, action, now)
            case Purpose.UNSUBSCRIBE:
                self.subscriptions.left(request.params["channels"])
            case Purpose.PROBE:
                self._pulse.answered()  # a refusal is a sign of life as well
            case Purpose.CALL:
                return [event]
            case Purpose.REPLY:
                pass
        return [ProtocolWarning(str(error))]

    def _not_subscribed(self, request: Request, error: ExchangeRefused, action: Action, now: float) -> list[Effect]:
        channels = request.params["channels"]
        if action is Action.LOG_IN and any(is_raw(channel) for channel in channels):
            self.subscriptions.raw_allowed = False  # 100ms will do until the next login
            self.subscriptions.postponed(channels, now, 0.0)
            self._ask_for_channels(now)
        elif action in (Action.GIVE_UP, Action.STOP) and len(channels) == 1:
            dropped = self.subscriptions.answered(channels, (), now)
            return [ProtocolWarning(str(error)), *(Gap(t) for channel in dropped if (t := ticker_of(channel)))]
        elif action in (Action.GIVE_UP, Action.STOP):
            self.subscriptions.halve(channels)  # one bad name may spoil the whole request
        else:
            self.subscriptions.postponed(channels, now, self.patience.retry)
        return [ProtocolWarning(str(error))]

    def _expired(self, event: Expired, now: float) -> list[Effect]:
        request = event.request
        match request.purpose:
            case Purpose.HELLO:
                raise ExchangeUnreachable("the exchange did not answer our greeting")
            case Purpose.LOGIN:
                return self._login_failed("no answer in time", now, hopeless=False)
            case Purpose.HEARTBEAT:
                self._begin(now)
            case Purpose.SUBSCRIBE:
                held = self.subscriptions.confirmed()  # data proves some of them, whatever became of the answer
                self.subscriptions.postponed([c for c in request.params["channels"] if c not in held], now, 0.0)
            case Purpose.UNSUBSCRIBE:
                self.subscriptions.left(request.params["channels"])
            case Purpose.PROBE:
                if self._pulse.dead(now):
                    raise ExchangeUnreachable("nothing came for too long, not even an answer: half-open")
            case Purpose.CALL:
                return [event]
            case Purpose.REPLY:
                pass
        return [ProtocolWarning(f"{request.method} was not answered")]

    # What time brings

    def look(self) -> list[Effect]:
        """What is due by now: late answers, silent channels, changed demand, a token that ages."""
        now = self._monotonic()
        outputs: list[Effect] = []
        for event in self.protocol.expire(now):
            outputs += self._handle(event, now)
        if self.protocol.state in (ConnectionState.SUBSCRIBING, ConnectionState.STREAMING):
            if self.login.due(now):
                self._log_in()
            self._listen(now)
        if self._pulse.doubtful(now):
            self._wish("public/test", Purpose.PROBE, Priority.HEARTBEAT)
        return outputs

    def ask_for_channels(self) -> None:
        """Demand changed: wish for what is missing and give back what nobody wants, if it is time for that."""
        if self.protocol.state in (ConnectionState.SUBSCRIBING, ConnectionState.STREAMING):
            self._ask_for_channels(self._monotonic())

    def _ask_for_channels(self, now: float) -> None:
        """Wish once for each kind of request that has something to ask; which channels is decided when it is sent."""
        for purpose, due in (
            (Purpose.UNSUBSCRIBE, self.subscriptions.leavable),
            (Purpose.SUBSCRIBE, self.subscriptions.joinable),
        ):
            if purpose not in self._wishing and due(now):
                self._wishing.add(purpose)
                self._wish(f"public/{purpose.value}", purpose, Priority.SUBSCRIBE)

    def _listen(self, now: float) -> None:
        """Subscribe anew what is silent against its habit; give up a connection that carries no price at all."""
        prices = {c: ticker for c in self.subscriptions.confirmed() if (ticker := ticker_of(c))}
        resting = [channel for channel, ticker in prices.items() if self.platform.rests(ticker)]
        self._watchdog.excuse(resting, now)
        silent = self._watchdog.overdue(prices, now)
        active = [c for c in prices if c not in resting]
        if active and now - self._last_price > self.patience.starvation and all(map(self._watchdog.attempts, active)):
            raise ExchangeUnreachable("the exchange answers but sends no prices")
        for channel in silent:
            self._watchdog.tried(channel, now)
        self.subscriptions.renew(silent)
        self._watchdog.keep(self.subscriptions.wanted(now))
        self._ask_for_channels(now)

    def rest_reason(self) -> str:
        """Why prices may rest by the exchange's own intention, empty when it said nothing."""
        return self.platform.reason(self.subscriptions.tickers(), authenticated=self.login.authenticated)

    def close(self) -> list[Effect]:
        """The connection is gone; what somebody still waited for is returned as Lost."""
        outputs: list[Effect] = []
        for event in self.protocol.close():
            outputs += self._handle(event, self._monotonic())
        self.subscriptions.lost()
        self.subscriptions.raw_allowed = False
        self.login.connection_lost()
        return outputs
