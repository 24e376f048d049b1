"""How a connection begins: hello, login, heartbeat, in this order, and what each outcome of these leads to.

A door whose host of prices does not authenticate has the last step only. Prices need no login: when it fails, the
failure is reported and the next step is taken.
"""

from collections.abc import Callable

from ..errors import ExchangeRefused, ExchangeUnreachable
from .application_login import ApplicationLogin
from .auth import Grant
from .doors import Door
from .effects import Effect, Outbox, ProtocolWarning
from .error_codes import error_code
from .messages import UnreadableMessage, decode_as
from .outcomes import Outcomes, no_answer, refusal
from .protocol import ConnectionState, Protocol, Purpose, Request, Result, Step
from .rate_limit import Priority
from .subscriptions import Subscriptions
from .timeouts import Timeouts

__all__ = ["CLIENT_NAME", "Handshake"]

CLIENT_NAME = "cryptomarket"


class Handshake:
    """Takes the steps from OPEN to SUBSCRIBING, calls ``finished(now)``, and logs in again when a token ages."""

    def __init__(
        self,
        protocol: Protocol,
        door: Door,
        login: ApplicationLogin,
        subscriptions: Subscriptions,
        outbox: Outbox,
        timeouts: Timeouts,
        *,
        finished: Callable[[float], None],
    ) -> None:
        self._protocol = protocol
        self._door = door
        self._login = login
        self._subscriptions = subscriptions
        self._outbox = outbox
        self._timeouts = timeouts
        self._finished = finished

    @property
    def outcomes(self) -> dict[Purpose, Outcomes]:
        """The rows of the outcome table that belong to the handshake."""
        return {
            Purpose.HELLO: Outcomes(self._greeted, self._hello_refused, self._hello_expired),
            Purpose.LOGIN: Outcomes(self._granted, self._login_refused, self._login_expired),
            # Without heartbeats the connection still works, so a refusal and a silence only delay the next step.
            Purpose.HEARTBEAT: Outcomes(self._heartbeat_set, self._heartbeat_refused, self._heartbeat_expired),
        }

    def start(self) -> None:
        """The connection is open: send hello, or set the heartbeat at once where the host knows no hello."""
        if not self._door.authenticates:
            self._set_heartbeat()
            return
        self._protocol.move(Step.GREET)
        self._outbox.add("public/hello", Purpose.HELLO, Priority.LOGIN, client_name=CLIENT_NAME, client_version="1")

    def log_in_if_due(self, now: float) -> bool:
        """Queue a login, or a refresh of the tokens, if one is due; returns whether one was."""
        due = self._login.due(now)
        if due:
            self._login.sent()
            self._outbox.add("public/auth", Purpose.LOGIN, Priority.LOGIN)
        return due

    # Hello

    def _greeted(self, _result: Result, now: float) -> list[Effect]:
        self._after_hello(now)
        return []

    def _hello_refused(self, request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        if error_code(error.code).passes:
            raise error
        self._after_hello(now)
        return refusal(request, error, now)

    def _hello_expired(self, _request: Request, _now: float) -> list[Effect]:
        raise ExchangeUnreachable("the exchange did not answer our greeting")

    def _after_hello(self, now: float) -> None:
        if self.log_in_if_due(now):
            self._protocol.move(Step.LOG_IN)
        else:
            self._set_heartbeat()

    # Login

    def _granted(self, result: Result, now: float) -> list[Effect]:
        try:
            grant = decode_as(Grant, result.result)
        except UnreadableMessage as exc:
            return self._login_failed(str(exc), now)
        warnings = self._login.granted(grant, now)
        self._login_ended()
        return [ProtocolWarning(warning) for warning in warnings]

    def _login_refused(self, _request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        return self._login_ended_with(lambda: self._login.refused(error, now))

    def _login_expired(self, _request: Request, now: float) -> list[Effect]:
        return self._login_failed("no answer in time", now)

    def _login_failed(self, reason: str, now: float) -> list[Effect]:
        return self._login_ended_with(lambda: self._login.failed(reason, now))

    def _login_ended_with(self, failure: Callable[[], None]) -> list[Effect]:
        known = self._login.problem
        failure()
        self._login_ended()
        problem = self._login.problem
        return [ProtocolWarning(f"login failed: {problem}")] if problem != known else []

    def _login_ended(self) -> None:
        self._subscriptions.login_changed(self._login.authenticated)
        if self._protocol.state is ConnectionState.LOGGING_IN:
            self._set_heartbeat()

    # Heartbeat

    def _set_heartbeat(self) -> None:
        self._protocol.move(Step.SET_HEARTBEAT)
        interval = self._door.heartbeat_seconds
        self._outbox.add("public/set_heartbeat", Purpose.HEARTBEAT, Priority.LOGIN, interval=interval)

    def _heartbeat_set(self, _result: Result, now: float) -> list[Effect]:
        self._finish(now)
        return []

    def _heartbeat_refused(self, request: Request, error: ExchangeRefused, now: float) -> list[Effect]:
        self._finish(now)
        return refusal(request, error, now)

    def _heartbeat_expired(self, request: Request, now: float) -> list[Effect]:
        self._finish(now)
        return no_answer(request, now)

    def _finish(self, now: float) -> None:
        if self._protocol.state is ConnectionState.SETTING_HEARTBEAT:
            self._protocol.move(Step.SUBSCRIBE)
            self._finished(now)
