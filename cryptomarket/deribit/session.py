"""One connection's life without its socket: what to send when, and what every message of the exchange changes.

It awaits nothing; texts and times come from its caller. `handshake` and `channel_requests` have the rules of their
requests, `protocol` the states and the JSON-RPC.
"""

import time
from collections.abc import Callable

from ..errors import ExchangeError, ExchangeRefused, ExchangeUnreachable, WrongHost
from ..model import Gap, InstrumentChanged
from .application_login import ApplicationLogin
from .channel_requests import ChannelRequests
from .channels import ticker_of
from .doors import Door
from .effects import Effect, Outbox, Outgoing, ProtocolWarning
from .exchange_status import ExchangeStatus
from .handshake import Handshake
from .messages import UnreadableMessage, read_price
from .outcomes import Outcomes, no_answer, refusal
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
from .upstream_clock import UpstreamClock
from .watchdog import LivenessProbe

__all__ = ["ExchangeSession"]

#: A peer that sends so many unreadable messages is not the exchange, or is broken.
MAX_UNREADABLE = 20


class ExchangeSession:
    """Drives the protocol through one connection and returns effects: ticks, gaps, warnings, outcomes of calls.

    Call `start`, then `receive` for each text and `check_timers` now and then. After each, send `replies()` at once
    and `outgoing()` as the budget allows, each as the text of `request_for` at the moment of sending. At the end call
    `close`. `receive` and `check_timers` raise ExchangeRefused or ExchangeUnreachable when the connection is unusable.
    """

    def __init__(
        self,
        door: Door,
        subscriptions: Subscriptions,
        login: ApplicationLogin,
        budget: RateLimiter,
        *,
        timeouts: Timeouts | None = None,
        clock: UpstreamClock | None = None,
        price_index: Callable[[str], str | None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.subscriptions = subscriptions
        self.login = login
        self.budget = budget
        self.timeouts = timeouts or Timeouts()
        self.protocol = Protocol(answer_seconds=self.timeouts.answer, clock=clock)
        self.exchange_status = ExchangeStatus(subscriptions.tickers, price_index)
        self._resting_reason = ""
        #: What the reason was computed from; None: it must be computed again.
        self._reason_of: tuple[int, bool] | None = None
        #: Whether a price arrived on this connection.
        self.prices_received = False
        #: Whether this connection has done what it is for: a price arrived, or none is configured and it could have.
        self.proved = False
        #: Why this connection must end: the exchange announced it, and the close that follows carries no reason, or
        #: its host sends no prices.
        self.terminated_by: ExchangeError | None = None
        self._door = door
        self._monotonic = monotonic
        self._outbox = Outbox()
        self._channels = ChannelRequests(
            subscriptions, self._outbox, self.timeouts, monotonic(), login_lost=self._login_lost
        )
        self._handshake = Handshake(
            self.protocol, door, login, subscriptions, self._outbox, self.timeouts, finished=self._channels.queue
        )
        self._liveness = LivenessProbe(self.timeouts.silence, door.silence_seconds, self.timeouts.probe, monotonic())
        self._unreadable = 0
        self._outcomes = {
            **self._handshake.outcomes,
            **self._channels.outcomes,
            Purpose.PROBE: Outcomes(self._probe_answered, self._probe_refused, self._probe_expired),
            Purpose.REPLY: Outcomes(),
        }

    def __repr__(self) -> str:
        return f"<ExchangeSession {self.protocol.state.value}>"

    @property
    def alive(self) -> bool:
        """Whether the connection is open."""
        return self.protocol.state is not ConnectionState.CLOSED

    @property
    def ready(self) -> bool:
        """Whether the handshake is over, so that channels and calls may be requested."""
        return self.protocol.state in (ConnectionState.SUBSCRIBING, ConnectionState.STREAMING)

    # What is sent

    def start(self) -> None:
        """The connection is open: begin the handshake."""
        now = self._monotonic()
        self._channels.start(now)
        self._liveness.frame_received(now)
        self._liveness.request_sent(now)
        self._handshake.start()

    @property
    def has_outgoing(self) -> bool:
        """Whether a request was queued since the last call of `outgoing`."""
        return bool(self._outbox)

    def outgoing(self) -> list[Outgoing]:
        """The requests queued since the last call; each is returned once."""
        return self._outbox.drain()

    def request_for(self, outgoing: Outgoing) -> tuple[Request, str] | None:
        """The request to send now, and its text; None when nothing is left to request."""
        now, params = self._monotonic(), outgoing.params
        within = None
        match outgoing.purpose:
            case Purpose.LOGIN:
                params, within = self.login.params(), self.timeouts.greeting
            case Purpose.HELLO | Purpose.HEARTBEAT:
                within = self.timeouts.greeting
            case Purpose.PROBE:
                within = self.timeouts.probe
            case Purpose.SUBSCRIBE | Purpose.UNSUBSCRIBE:
                channels = self._channels.params(outgoing.purpose, now)
                if channels is None:
                    return None
                params = channels
            case _:
                pass
        self._liveness.request_sent(now)
        return self.protocol.request(outgoing.method, params, outgoing.purpose, now, within=within)

    def replies(self) -> list[str]:
        """The texts that must be sent at once."""
        replies = self.protocol.replies()
        if replies:
            self._liveness.request_sent(self._monotonic())
        return replies

    def update_subscriptions(self) -> None:
        """The demand changed: queue the requests for it, if the handshake is over."""
        self.exchange_status.forget_unwanted()
        if self.ready:
            self._channels.queue(self._monotonic())

    # What arrives

    def receive(self, text: str | bytes) -> list[Effect]:
        """The effects of one message of the exchange."""
        now = self._monotonic()
        self._liveness.frame_received(now)
        effects = self._handle_all(self.protocol.receive(text, now), now)
        if not self.proved:
            idle = not self.subscriptions.configured and bool(self.subscriptions.confirmed())
            self.proved = self.prices_received or idle
        return effects

    def _handle_all(self, events: list[Event], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            try:
                effects += self._handle(event, now)
            except UnreadableMessage as exc:
                effects += self._skipped(str(exc))
        return effects

    def _handle(self, event: Event, now: float) -> list[Effect]:
        match event:
            case Notified():
                return self._notified(event, now)
            case Result():
                return self._answered(event, now)
            case ErrorReply():
                return self._refused(event, now)
            case Expired():
                is_call = event.request.purpose is Purpose.CALL
                return [event] if is_call else self._outcomes[event.request.purpose].expired(event.request, now)
            case Lost():
                return [event] if event.request.purpose is Purpose.CALL else []
            case Undecodable():
                return self._skipped(event.reason)
            case _:  # a heartbeat, or an answer to no pending request
                return []

    def _skipped(self, reason: str) -> list[Effect]:
        """Count and report an unreadable message; raises ExchangeUnreachable after too many."""
        self._unreadable += 1
        if self._unreadable >= MAX_UNREADABLE:
            raise ExchangeUnreachable(f"{self._unreadable} unreadable messages, the last: {reason}")
        return [_skipped_message(reason)]

    def _notified(self, event: Notified, now: float) -> list[Effect]:
        self.subscriptions.data_received(event.channel)
        ticker = ticker_of(event.channel)
        try:
            if ticker is None:
                return self._status_changed(event)
            tick, state = read_price(ticker, event.data)
        except UnreadableMessage as exc:
            reason = f"{event.channel[:80]}: {exc}"
            # Prices of configured tickers go on although other channels cannot be read, so only these are counted.
            return self._skipped(reason) if ticker in self.subscriptions.configured else [_skipped_message(reason)]
        self._channels.data_received(event.channel, tick, now)
        ends = self.exchange_status.instrument_state(ticker, state, priced=tick is not None)
        ended = self._ended(ticker) if ends else []
        if tick is None:
            return ended
        if self.subscriptions.has_ended(ticker) and not self.exchange_status.ended(ticker):
            self.subscriptions.listed(ticker)
        self.exchange_status.price_received(ticker)
        if self.protocol.state is ConnectionState.SUBSCRIBING:
            self.protocol.move(Step.STREAM)
        self.prices_received = True
        return [tick, *ended]

    def _status_changed(self, event: Notified) -> list[Effect]:
        change = self.exchange_status.receive(event.channel, event.data)
        if change is None:
            return []
        if not change.listed:
            return self._ended(change.ticker)
        self.subscriptions.listed(change.ticker)
        return [change]

    def _ended(self, ticker: str) -> list[Effect]:
        """No price of the instrument will come any more."""
        change = InstrumentChanged(ticker, listed=False)
        return [change, Gap(ticker)] if self.subscriptions.ended(ticker) else [change]

    def _answered(self, event: Result, now: float) -> list[Effect]:
        if event.request.purpose is Purpose.CALL:
            return [event]
        effects = self._outcomes[event.request.purpose].answered(event, now)
        self._check_host(event.request)
        return effects

    def _refused(self, event: ErrorReply, now: float) -> list[Effect]:
        request = event.request
        if request is None:
            return [ProtocolWarning(f"an error that names no request: {event.code} {event.message}")]
        error = ExchangeRefused(request.method, event.code, event.message, event.reason, retry_after=event.retry_after)
        if event.code == 10028:
            self.budget.slow_down(now, event.retry_after)
            self.terminated_by = error  # "the session is terminated" (rate-limits.md)
        elif event.code == 10066:
            self.budget.limit_concurrency(now)
        if request.purpose is Purpose.CALL:
            return [event]
        effects = self._outcomes[request.purpose].refused(request, error, now)
        self._check_host(request)
        return effects

    def _check_host(self, request: Request) -> None:
        """A host that refuses every channel will refuse them again, so the connection ends when this was told."""
        if request.purpose is Purpose.SUBSCRIBE and self.subscriptions.all_refused():
            self.terminated_by = WrongHost(self._door.prices_host)

    def _probe_answered(self, _result: Result, _now: float) -> list[Effect]:
        self._liveness.answered()
        return []

    def _probe_refused(self, request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        self._liveness.answered()  # a refusal proves that the exchange is there
        return refusal(request, error, now)

    def _probe_expired(self, request: Request, now: float) -> list[Effect]:
        if self._liveness.dead(now):
            raise ExchangeUnreachable("nothing arrived for too long, not even an answer: half-open")
        return no_answer(request, now)

    def _login_lost(self, request: Request, error: ExchangeRefused, now: float) -> bool:
        again = self.login.lost(error, request.sent, now)
        self._handshake.log_in_if_due(now)
        return again

    # What time brings

    def check_timers(self) -> list[Effect]:
        """The effects of what is due by now: late answers, silent channels, changed demand, a token that ages."""
        now = self._monotonic()
        effects = self._handle_all(self.protocol.expire(now), now)
        self._reason_of = None  # what the catalogue says of instruments may have changed
        if self.ready:
            self._handshake.log_in_if_due(now)
            self._channels.check_silence(self.exchange_status.rests, now)
        if self._liveness.due(now):
            self._outbox.add("public/test", Purpose.PROBE, Priority.HEARTBEAT)
        return effects

    def resting_reason(self) -> str:
        """Why the exchange may send no configured prices on purpose, empty when it announced nothing."""
        basis = self.exchange_status.changes, self.login.authenticated
        if basis != self._reason_of:
            configured, self._reason_of = self.subscriptions.configured, basis
            self._resting_reason = self.exchange_status.reason(configured, authenticated=self.login.authenticated)
        return self._resting_reason

    def close(self) -> list[Effect]:
        """The connection is gone; the calls that still wait are returned as Lost."""
        effects = self._handle_all(self.protocol.close(), self._monotonic())
        self.subscriptions.connection_lost()
        self.login.connection_lost()
        return effects


def _skipped_message(reason: str) -> ProtocolWarning:
    return ProtocolWarning(f"unreadable message skipped: {reason}")
