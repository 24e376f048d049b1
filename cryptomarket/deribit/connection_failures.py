"""How a connection can end, or fail to be made: what to do next, a sentence for people, the shortest wait."""

import os
import socket
import ssl
from dataclasses import dataclass, replace
from enum import Enum

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxyStatus, InvalidStatus
from websockets.frames import CloseCode
from websockets.http11 import Response

from ..errors import ExchangeRefused, ExchangeUnreachable, WrongHost
from ..statements.connection import HEARTBEAT_CLOSE_CODE
from .error_codes import Action, error_code
from .messages import LONGEST_RETRY_AFTER

__all__ = ["EXPECTED", "EarlyCloses", "Failure", "MinimumPause", "classify"]


class MinimumPause(Enum):
    """How long to leave the exchange alone, beside the pauses that grow; `Timeouts` has the seconds."""

    NONE = "none"
    REFUSED = "refused"  # the exchange refused us on purpose: at most six attempts a minute
    STOPPED = "stopped"  # nothing changes until the operator acts


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection ended or was not made; ``reason`` is a sentence for people."""

    action: Action
    reason: str
    pause: MinimumPause = MinimumPause.NONE
    retry_after_seconds: float = 0.0
    unexplained: bool = False  # an open connection ended without a reason


#: Every error that the network and the exchange can cause. Any other error is a bug and ends the program.
EXPECTED = (ConnectionClosed, InvalidHandshake, OSError, EOFError, ExchangeRefused, ExchangeUnreachable, WrongHost)
#: What the close codes of the exchange mean; 1011 is Coinbase's for silence, and elsewhere that of a server that fails.
_CLOSE_CODES = {
    1011: "it failed, or heard no request of ours for too long",
    HEARTBEAT_CLOSE_CODE.value: "its test_request was not answered in time",
}


def classify(error: Exception) -> Failure:
    """The failure that an error of EXPECTED stands for; its reason contains no address of a proxy and no secret."""
    match error:
        case ExchangeRefused():
            return _refused(error)
        case WrongHost():
            return Failure(Action.STOP, str(error), MinimumPause.STOPPED)
        case InvalidProxyStatus():
            return _http_status(error.response, "the proxy")
        case InvalidStatus():
            return _http_status(error.response, "the exchange")
        case ConnectionClosed():
            return _closed(error)
        case ssl.SSLCertVerificationError():
            return Failure(Action.STOP, "the certificate of the exchange is not trusted", MinimumPause.STOPPED)
        case TimeoutError():
            return Failure(Action.RETRY, "no answer in time")
        case InvalidHandshake():
            return Failure(Action.RETRY, f"the handshake failed ({type(error).__name__})")
        case OSError():
            return Failure(Action.RETRY, f"cannot connect: {_system_message(error)}")
        case _:
            return Failure(Action.RETRY, str(error) or type(error).__name__)


def _system_message(error: OSError) -> str:
    """The operating system's message without the addresses that Python adds to it."""
    if isinstance(error, socket.gaierror):
        return "the name of the exchange cannot be resolved"
    number = error.errno or next((e.errno for e in getattr(error, "exceptions", ()) if e.errno), None)
    return os.strerror(number).lower() if number else type(error).__name__


def _refused(error: ExchangeRefused) -> Failure:
    action = error_code(error.code).action
    if action is Action.WAIT:
        return Failure(action, f"the exchange rests: {error.message}", MinimumPause.REFUSED)
    pause = MinimumPause.REFUSED if action is Action.SLOW_DOWN else MinimumPause.NONE
    return Failure(action, str(error), pause, error.retry_after)


def _closed(error: ConnectionClosed) -> Failure:
    """Deribit documents no close codes; of RFC 6455 only 1008 (policy) and 1013 (try again later) ask us to wait."""
    if error.rcvd is None:
        return Failure(Action.RETRY, "the connection broke", unexplained=True)
    code = error.rcvd.code
    meaning = "a log-out ended it" if error.rcvd.reason == "logout" else _CLOSE_CODES.get(code, "")
    reason = f"the exchange closed the connection ({code})" + (f": {meaning}" if meaning else "")
    if code in (1008, 1013):
        return Failure(Action.SLOW_DOWN, reason, MinimumPause.REFUSED)
    return Failure(Action.RETRY, reason, unexplained=not meaning and code != CloseCode.GOING_AWAY)


class EarlyCloses:
    """Judges connections that end early and without a reason, at a door that does not announce its limits.

    One may be anything. From the second in a row on, the failure asks us to slow down.
    """

    def __init__(self, *, early_seconds: float = 60.0) -> None:
        self.early_seconds = early_seconds
        self._in_a_row = 0

    def judge(self, failure: Failure, lived_seconds: float) -> Failure:
        """The failure of a connection that lived so long, or what it means."""
        early = failure.unexplained and lived_seconds < self.early_seconds
        self._in_a_row = self._in_a_row + 1 if early else 0
        if self._in_a_row < 2:
            return failure
        reason = f"{failure.reason}: perhaps too many requests"
        return replace(failure, action=Action.SLOW_DOWN, reason=reason, pause=MinimumPause.REFUSED)


def _http_status(response: Response, peer: str) -> Failure:
    """The handshake was answered with an HTTP status instead of an upgrade."""
    status, retry_after = response.status_code, _retry_after(response)
    if status == 429:
        reason = f"{peer} has too many of our connections (HTTP 429)"
        return Failure(Action.SLOW_DOWN, reason, MinimumPause.REFUSED, retry_after)
    if status == 408 or status >= 500:
        return Failure(Action.RETRY, f"{peer} is unavailable (HTTP {status})", MinimumPause.REFUSED, retry_after)
    if 300 <= status < 400:
        # A redirect that is followed could send the login to any host.
        return Failure(Action.STOP, f"{peer} redirects us elsewhere, refused (HTTP {status})", MinimumPause.STOPPED)
    advice = ": wrong host or path?" if status == 404 else ""
    return Failure(Action.STOP, f"{peer} refuses us (HTTP {status}){advice}", MinimumPause.STOPPED)


def _retry_after(response: Response) -> float:
    seconds = response.headers.get("Retry-After", "")
    return min(float(seconds), LONGEST_RETRY_AFTER) if seconds.isdecimal() else 0.0
