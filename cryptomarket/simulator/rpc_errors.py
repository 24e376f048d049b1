"""The error codes of the exchange and their messages."""

from typing import Any

from ..statements.errors import BAD_JSON_CODE, BAD_JSON_DATA, NO_TOKEN_CODE, NO_TOKEN_REASON

__all__ = ["MESSAGES", "RpcError", "bad_request", "invalid", "too_large", "too_many", "unauthorized"]

MESSAGES = {
    -32700: "Parse error",
    -32600: "Invalid Request",
    -32601: "Method not found",
    -32602: "Invalid params",
    -32000: "Missing params",
    10000: "authorization_required",
    10001: "error",
    10028: "too_many_requests",
    10030: "must_be_websocket_request",
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    10066: "too_many_concurrent_requests",
    11029: "invalid_arguments",
    11042: "permission_denied",
    11044: "not_open_order",
    11049: "bad_arguments",
    11050: "bad_request",
    11051: "system_maintenance",
    11052: "subscribe_error_unsubscribed",
    11056: "unauthenticated_public_requests_temporarily_disabled",
    11060: "not_supported",
    11094: "internal_server_error",
    11098: "account_locked",
    12003: "login_over_limit",
    12998: "security_key_authorization_over_limit",
    13004: "invalid_credentials",
    13007: "user_not_found",
    13008: "request_failed",
    13009: "unauthorized",
    13010: "value_required",
    13019: "orderbook_closed",
    13020: "not_found",
    13021: "forbidden",
    13025: "method_switched_off_by_admin",
    13028: "temporarily_unavailable",
    13403: "scope_exceeded",
    13668: "security_key_authorization_error",
    13778: "raw_subscriptions_not_available_for_unauthorized",
    13888: "timed_out",
}


class RpcError(Exception):
    """An error response to a request; ``ends`` closes the connection after it.

    ``unreadable`` marks an error about a frame that could not be read as a request: it carries no id.
    """

    def __init__(
        self,
        code: int,
        data: dict[str, Any] | str | None = None,
        *,
        message: str | None = None,
        unreadable: bool = False,
        ends: bool = False,
    ) -> None:
        self.code = code
        self.message = MESSAGES.get(code, "error") if message is None else message
        self.data = data
        self.unreadable = unreadable
        self.ends = ends
        super().__init__(f"{code} {self.message}")


def invalid(parameter: str, reason: str) -> RpcError:
    """The error of a wrong parameter."""
    return RpcError(-32602, {"reason": reason, "param": parameter})


def unauthorized() -> RpcError:
    """The error of a private call with no token, or none that is good here."""
    return RpcError(NO_TOKEN_CODE.value, {"reason": NO_TOKEN_REASON.value})


def bad_request() -> RpcError:
    """The real error of an unparseable message: not -32700, and without an id; its data is a text (probed 2026)."""
    return RpcError(BAD_JSON_CODE.value, BAD_JSON_DATA.value, unreadable=True)


def too_large() -> RpcError:
    """A request of more than 32 kB is not read at all, hence no id."""
    return RpcError(-32600, message="request entity too large", unreadable=True)


def too_many(retry_after_seconds: float) -> RpcError:
    """The error of empty credits, which ends the connection; it says when to try again where the time is not 0."""
    return RpcError(10028, {"retry_after": retry_after_seconds} if retry_after_seconds else None, ends=True)
