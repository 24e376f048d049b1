"""The one table of Deribit's error numbers. It imports nothing of the package, so any feature may import it.

Source: https://docs.deribit.com/articles/errors.md, and the numbers that JSON-RPC 2.0 reserves.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["ERROR_CODES", "METHOD_NOT_FOUND", "Action", "ErrorCode", "ErrorSource", "error_code"]


#: No name in the request is wrong: this host does not know, or not allow, the method.
METHOD_NOT_FOUND = -32601


class ErrorSource(Enum):
    """Whose fault an error is."""

    OURS = "ours"  # the request was wrong, or came too soon
    KEY = "key"  # the key, its rights or its owner's account
    EXCHANGE = "exchange"


class Action(Enum):
    """What to do next."""

    RETRY = "retry"  # the error passes by itself: try again after a pause
    SLOW_DOWN = "slow down"  # too many requests: pause longer, and send fewer from now on
    WAIT = "wait"  # the exchange rests on purpose (maintenance, settlement): wait, and show that as the reason
    LOG_IN = "log in"  # the tokens are not valid any more: log in again
    GIVE_UP = "give up"  # the request is wrong and stays wrong: do not repeat it
    STOP = "stop"  # the operator must act (a key, a permission, an address): report it, try rarely


_WRONG_KEY = "the exchange does not accept this key: check the client id and the secret"
_TOO_MANY_LOGINS = "too many log-ins with this key: wait some minutes"
_NO_RIGHT = "this key may not read the account: give it the right account:read"


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One error number of the exchange. ``advice`` is the sentence that a person reads, empty for the general one."""

    code: int
    meaning: str
    source: ErrorSource
    action: Action
    advice: str = ""
    #: The history that was requested does not exist: there is nothing older, or nothing at all.
    no_history: bool = False
    #: The tokens that were sent are of no use any more; a person must log in again.
    ends_tokens: bool = False
    #: The key or its secret is not accepted; counted against guessing.
    wrong_key: bool = False

    @property
    def passes(self) -> bool:
        """Whether the same request can succeed later, without a change."""
        return self.action in (Action.RETRY, Action.SLOW_DOWN, Action.WAIT)

    @property
    def sentence(self) -> str:
        """What a person reads."""
        return self.advice or f"the exchange refused ({self.code}): try again later"


ERROR_CODES: dict[int, ErrorCode] = {
    row.code: row
    for row in (
        ErrorCode(-32700, "parse error", ErrorSource.OURS, Action.GIVE_UP),
        ErrorCode(-32600, "invalid request, or too large", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(METHOD_NOT_FOUND, "method not found", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(-32602, "invalid params", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(-32000, "missing params", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(10000, "authorization_required", ErrorSource.KEY, Action.LOG_IN, ends_tokens=True),
        ErrorCode(10001, "error, without detail", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(10028, "too_many_requests; ends the connection as well", ErrorSource.OURS, Action.SLOW_DOWN),
        # Not a rate limit, though some clients take it for one.
        ErrorCode(10029, "not_owner_of_order", ErrorSource.OURS, Action.GIVE_UP),
        ErrorCode(10030, "must_be_websocket_request", ErrorSource.OURS, Action.GIVE_UP),
        ErrorCode(10040, "retry", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(
            10041,
            "settlement_in_progress",
            ErrorSource.EXCHANGE,
            Action.WAIT,
            "the exchange is busy with its settlement: try again in a minute",
        ),
        ErrorCode(10047, "matching_engine_queue_full", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(10066, "too_many_concurrent_requests", ErrorSource.OURS, Action.SLOW_DOWN),
        ErrorCode(11029, "invalid_arguments", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(11042, "permission_denied", ErrorSource.KEY, Action.STOP, _NO_RIGHT),
        ErrorCode(11049, "bad_arguments", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(11050, "bad_request", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(
            11051,
            "system_maintenance",
            ErrorSource.EXCHANGE,
            Action.WAIT,
            "the exchange is under maintenance: try again later",
        ),
        ErrorCode(11052, "subscribe_error_unsubscribed", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(11056, "unauthenticated_public_requests_temporarily_disabled", ErrorSource.EXCHANGE, Action.WAIT),
        ErrorCode(11060, "routed spot market not supported", ErrorSource.OURS, Action.GIVE_UP),
        ErrorCode(11094, "internal_server_error", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(
            11098,
            "account_locked",
            ErrorSource.KEY,
            Action.STOP,
            "the exchange has locked this account",
            ends_tokens=True,
        ),
        ErrorCode(12003, "login_over_limit", ErrorSource.KEY, Action.STOP, _TOO_MANY_LOGINS),
        ErrorCode(12998, "security_key_authorization_over_limit", ErrorSource.KEY, Action.STOP, _TOO_MANY_LOGINS),
        # An unknown id (13007) and a wrong secret (13004) read alike: the answer must not tell which keys exist.
        ErrorCode(
            13004, "invalid_credentials", ErrorSource.KEY, Action.STOP, _WRONG_KEY, ends_tokens=True, wrong_key=True
        ),
        ErrorCode(13007, "user_not_found", ErrorSource.KEY, Action.STOP, _WRONG_KEY, ends_tokens=True, wrong_key=True),
        ErrorCode(13008, "request_failed", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(13009, "unauthorized", ErrorSource.KEY, Action.LOG_IN, _WRONG_KEY, ends_tokens=True, wrong_key=True),
        ErrorCode(13010, "value_required", ErrorSource.OURS, Action.GIVE_UP),
        ErrorCode(13020, "not_found", ErrorSource.OURS, Action.GIVE_UP, no_history=True),
        ErrorCode(13021, "forbidden", ErrorSource.KEY, Action.STOP, _NO_RIGHT),
        ErrorCode(13025, "method_switched_off_by_admin", ErrorSource.EXCHANGE, Action.WAIT),
        ErrorCode(13028, "temporarily_unavailable", ErrorSource.EXCHANGE, Action.RETRY),
        ErrorCode(13403, "scope_exceeded", ErrorSource.KEY, Action.STOP, _NO_RIGHT),
        ErrorCode(13668, "security_key_authorization_error", ErrorSource.KEY, Action.STOP),
        ErrorCode(13778, "raw_subscriptions_not_available_for_unauthorized", ErrorSource.KEY, Action.LOG_IN),
        ErrorCode(13888, "timed_out", ErrorSource.EXCHANGE, Action.RETRY),
    )
}


def error_code(code: int) -> ErrorCode:
    """The row of a number; one that is not documented counts as a passing failure of the exchange."""
    return ERROR_CODES.get(code) or ErrorCode(code, "not documented", ErrorSource.EXCHANGE, Action.RETRY)
