"""What to do about everything the exchange can answer, and every way a connection can end.

One table of Deribit's documented errors (https://docs.deribit.com/articles/errors.md) and one function for the rest.
"""

import os
import socket
import ssl
from dataclasses import dataclass
from enum import Enum

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxyStatus, InvalidStatus
from websockets.http11 import Response

from ..errors import ExchangeRefused, ExchangeUnreachable

__all__ = ["ERRORS", "EXPECTED", "Failure", "Pause", "Verdict", "classify", "verdict_of"]


class Verdict(Enum):
    """What to do next."""

    WAIT = "wait"  # it passes by itself: try again after a pause
    SLOW = "slow"  # we were too fast: pause longer, and ask less from now on
    PAUSE = "pause"  # the exchange rests on purpose (maintenance, settlement): wait, and call it so
    LOGIN = "login"  # the tokens are no good any more: log in again
    FIX = "fix"  # this request is wrong and will stay wrong: do not repeat it
    STOP = "stop"  # a person must act (a key, a permission, an address): say so, try rarely


#: Every error of Deribit's table, and the JSON-RPC ones.
ERRORS: dict[int, Verdict] = {
    -32700: Verdict.FIX,  # parse error
    -32600: Verdict.FIX,  # request entity too large, invalid request
    -32601: Verdict.FIX,  # method not found
    -32602: Verdict.FIX,  # invalid params
    -32000: Verdict.FIX,  # missing params
    10000: Verdict.LOGIN,  # authorization_required
    10001: Verdict.WAIT,  # error, no detail
    10028: Verdict.SLOW,  # too_many_requests; the session ends as well
    10029: Verdict.FIX,  # not_owner_of_order: no rate limit, though some clients take it for one
    10030: Verdict.FIX,  # must_be_websocket_request
    10040: Verdict.WAIT,  # retry
    10041: Verdict.PAUSE,  # settlement_in_progress
    10047: Verdict.WAIT,  # matching_engine_queue_full
    10066: Verdict.SLOW,  # too_many_concurrent_requests
    11029: Verdict.FIX,  # invalid_arguments
    11042: Verdict.STOP,  # permission_denied
    11049: Verdict.FIX,  # bad_arguments
    11050: Verdict.FIX,  # bad_request
    11051: Verdict.PAUSE,  # system_maintenance
    11052: Verdict.WAIT,  # subscribe_error_unsubscribed
    11056: Verdict.PAUSE,  # unauthenticated_public_requests_temporarily_disabled
    11060: Verdict.FIX,  # routed spot market not supported
    11094: Verdict.WAIT,  # internal_server_error
    11098: Verdict.STOP,  # account_locked
    12003: Verdict.STOP,  # login_over_limit
    12998: Verdict.STOP,  # security_key_authorization_over_limit
    13004: Verdict.STOP,  # invalid_credentials
    13007: Verdict.STOP,  # user_not_found
    13008: Verdict.WAIT,  # request_failed
    13009: Verdict.LOGIN,  # unauthorized
    13010: Verdict.FIX,  # value_required
    13020: Verdict.FIX,  # not_found
    13021: Verdict.STOP,  # forbidden
    13025: Verdict.PAUSE,  # method_switched_off_by_admin
    13028: Verdict.WAIT,  # temporarily_unavailable
    13403: Verdict.STOP,  # scope_exceeded
    13668: Verdict.STOP,  # security_key_authorization_error
    13778: Verdict.LOGIN,  # raw_subscriptions_not_available_for_unauthorized
    13888: Verdict.WAIT,  # timed_out
}


def verdict_of(code: int) -> Verdict:
    """What to do about an error code; one nobody documented is taken for a passing one."""
    return ERRORS.get(code, Verdict.WAIT)


class Pause(Enum):
    """How long to leave the exchange alone, beside the pauses that grow."""

    NONE = "none"
    ANSWERED = "answered"  # it refused us, which is no accident: at most six attempts a minute
    STOPPED = "stopped"  # nothing will change until a person acts


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a connection ended or was not made: what to do, a sentence for people, and how long to wait at least."""

    verdict: Verdict
    reason: str
    pause: Pause = Pause.NONE
    retry_after_seconds: float = 0.0


#: What may go wrong without being a bug of ours.
EXPECTED = (ConnectionClosed, InvalidHandshake, OSError, EOFError, ExchangeRefused, ExchangeUnreachable)
#: Nobody is kept waiting longer than this by a `Retry-After`.
LONGEST_RETRY_AFTER_SECONDS = 300.0


def classify(error: Exception) -> Failure:
    """What to do about an error of EXPECTED; the reason holds no address of a proxy and no secret."""
    match error:
        case ExchangeRefused():
            return _refused(error)
        case InvalidProxyStatus():
            return _status(error.response, "the proxy")
        case InvalidStatus():
            return _status(error.response, "the exchange")
        case ConnectionClosed():
            return _closed(error)
        case ssl.SSLCertVerificationError():
            return Failure(Verdict.STOP, "the certificate of the exchange is not trusted", Pause.STOPPED)
        case TimeoutError():
            return Failure(Verdict.WAIT, "no answer in time")
        case InvalidHandshake():
            return Failure(Verdict.WAIT, f"the handshake failed ({type(error).__name__})")
        case OSError():
            return Failure(Verdict.WAIT, f"cannot connect: {_words(error)}")
        case _:
            return Failure(Verdict.WAIT, str(error) or type(error).__name__)


def _words(error: OSError) -> str:
    """What the system said, without the addresses that its messages hold."""
    if isinstance(error, socket.gaierror):
        return "the name of the exchange cannot be resolved"
    number = error.errno or next((e.errno for e in getattr(error, "exceptions", ()) if e.errno), None)
    return os.strerror(number).lower() if number else type(error).__name__


def _refused(error: ExchangeRefused) -> Failure:
    verdict = verdict_of(error.code)
    if verdict is Verdict.PAUSE:
        return Failure(verdict, f"the exchange rests: {error.message}", Pause.ANSWERED)
    return Failure(verdict, str(error), Pause.ANSWERED if verdict is Verdict.SLOW else Pause.NONE)


def _closed(error: ConnectionClosed) -> Failure:
    """Deribit documents no close codes, so all are alike but policy (1008) and try again later (1013)."""
    if error.rcvd is None:
        return Failure(Verdict.WAIT, "the connection broke")
    code = error.rcvd.code
    said = f"the exchange closed the connection ({code})"
    return Failure(Verdict.SLOW, said, Pause.ANSWERED) if code in (1008, 1013) else Failure(Verdict.WAIT, said)


def _status(response: Response, who: str) -> Failure:
    """The handshake was answered with an HTTP status instead of an upgrade."""
    status, later = response.status_code, _retry_after(response)
    if status == 429:
        return Failure(Verdict.SLOW, f"{who} has too many of our connections (HTTP 429)", Pause.ANSWERED, later)
    if status == 408 or status >= 500:
        return Failure(Verdict.WAIT, f"{who} is unavailable (HTTP {status})", Pause.ANSWERED, later)
    if 300 <= status < 400:
        # Followed, a redirect could lead the login anywhere.
        return Failure(Verdict.STOP, f"{who} redirects us elsewhere, refused (HTTP {status})", Pause.STOPPED)
    return Failure(Verdict.STOP, f"{who} refuses us (HTTP {status})", Pause.STOPPED)


def _retry_after(response: Response) -> float:
    given = response.headers.get("Retry-After", "")
    return min(float(given), LONGEST_RETRY_AFTER_SECONDS) if given.isdecimal() else 0.0
