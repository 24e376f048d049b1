"""Runs a request: parsing, authentication, credits, scope, and the table of methods.

The same for WebSocket and HTTP. It returns the result or raises an RpcError; it sends nothing.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..statements.coinbase import MAIN_SUBSCRIBE_CODE, MAIN_SUBSCRIBE_MESSAGE
from ..statements.limits import REQUEST_BYTES
from .accounts import IssuedGrant
from .broadcast import Broadcaster, ChannelState
from .rpc_errors import RpcError, bad_request, invalid, too_large, too_many, unauthorized
from .shared_state import SharedState

__all__ = [
    "HANDLERS",
    "Caller",
    "ConnectionEnded",
    "MethodCall",
    "RpcRequest",
    "flag",
    "handler",
    "read_request",
    "run",
    "text",
    "whole",
]

#: Requests of one connection not yet answered, before 10066; the real number is not published.
MOST_WAITING = 100


class ConnectionEnded(Exception):
    """The request ends the connection without an answer."""


class Caller(Protocol):
    """The sender of a request: a WebSocket session or an HTTP connection."""

    address: str
    websocket: bool
    remembered: IssuedGrant | None
    heartbeat_seconds: float
    channels: dict[str, ChannelState]
    first_values: list[ChannelState]

    @property
    def waiting(self) -> int: ...

    def deliver(self, channel: str, frame: bytes) -> None: ...

    def remember(self, grant: IssuedGrant) -> None: ...

    def proved_alive(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RpcRequest:
    """A parsed request."""

    identifier: int | str | None
    method: str
    params: dict[str, Any]


@dataclass(slots=True)
class MethodCall:
    """A request with everything that its handler may use."""

    state: SharedState
    broadcaster: Broadcaster
    caller: Caller
    params: dict[str, Any]
    grant: IssuedGrant | None = None
    now_ms: int = 0
    private: bool = False

    @property
    def owner(self) -> IssuedGrant:
        """The grant of a private call; raises 13009 when there is none."""
        if self.grant is None:
            raise unauthorized()
        return self.grant


Handler = Callable[[MethodCall], Any]

#: Every method with the scope it needs; filled by ``handler``.
HANDLERS: dict[str, tuple[Handler, str]] = {}


def handler(*methods: str, scope: str = "") -> Callable[[Handler], Handler]:
    """Registers a function as the handler of methods; a private method names the scope it needs."""

    def enter(function: Handler) -> Handler:
        for method in methods:
            HANDLERS[method] = (function, scope)
        return function

    return enter


def read_request(raw: str | bytes) -> RpcRequest:
    """Returns the request in a frame or a body, which may have no id; raises RpcError for anything else."""
    most = REQUEST_BYTES.value  # a larger request is refused without being parsed
    if len(raw) > most or (isinstance(raw, str) and len(raw.encode()) > most):
        raise too_large()
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_request() from None
    if not isinstance(message, dict):
        raise RpcError(-32600, unreadable=True)
    identifier = message.get("id")
    if isinstance(identifier, bool) or not isinstance(identifier, int | str | None):
        raise RpcError(-32600, unreadable=True)
    method, params = message.get("method"), message.get("params")
    if message.get("jsonrpc") != "2.0" or not isinstance(method, str):
        raise MalformedRequest(identifier)
    if params is not None and not isinstance(params, dict):
        raise MalformedRequest(identifier)
    return RpcRequest(identifier, method, params or {})


class MalformedRequest(RpcError):
    """A request with a readable id and an unreadable rest."""

    def __init__(self, identifier: int | str | None) -> None:
        super().__init__(-32600)
        self.identifier = identifier


def run(state: SharedState, broadcaster: Broadcaster, caller: Caller, request: RpcRequest) -> Any:
    """Returns the result of a request; raises RpcError, or ConnectionEnded."""
    state.requests[request.method] = state.requests.get(request.method, 0) + 1
    known = HANDLERS.get(request.method)
    grant = _identity(state, caller, request)
    if not state.credit_account(grant, caller.address).pay(request.method, state.monotonic()):
        raise too_many(state.switches.retry_after_seconds)
    if not state.door.allows(request.method):
        raise RpcError(MAIN_SUBSCRIBE_CODE.value, message=MAIN_SUBSCRIBE_MESSAGE.value)
    if caller.waiting >= MOST_WAITING:
        raise RpcError(10066)
    ordered = state.active_faults.errors.get(request.method) or state.active_faults.errors.get("")
    if ordered:
        raise _ordered_error(ordered, request)
    if known is None:
        raise RpcError(-32601)
    if state.platform.maintenance and request.method not in ("public/test", "public/status", "public/get_time"):
        raise RpcError(11051)
    function, scope = known
    private = request.method.startswith("private/")
    if private:
        if grant is None:
            raise unauthorized()
        if scope and not grant.may(scope):
            raise RpcError(state.switches.missing_scope_code)
    elif grant is None and not state.platform.unauthenticated_calls and request.method not in _ALWAYS:
        raise RpcError(11056)
    return function(MethodCall(state, broadcaster, caller, request.params, grant, state.now_ms(), private))


def _ordered_error(code: int, request: RpcRequest) -> RpcError:
    """The error that a fault orders; its message repeats the token of a log-in, as that of Coinbase may."""
    error, token = RpcError(code, ends=code == 10028), request.params.get("token")
    if token is not None:
        error.message += f": {token}"
    return error


_ALWAYS = ("public/auth", "public/test", "public/hello", "public/status", "public/get_time", "public/set_heartbeat")


def _identity(state: SharedState, caller: Caller, request: RpcRequest) -> IssuedGrant | None:
    """Returns the grant of a request: of its own token, else the one its connection remembers while it is valid."""
    token = request.params.get("access_token")
    private = request.method.startswith("private/")
    if isinstance(token, str) and token and not (caller.websocket and state.door.socket_is_person):
        try:
            return state.accounts.grant_of(token, caller)
        except RpcError:
            if private:
                raise
            return None
    grant = caller.remembered
    return grant if grant is not None and state.accounts.alive(grant) else None


def text(params: dict[str, Any], name: str) -> str:
    """A parameter that must be a text."""
    value = params.get(name)
    if value is None:
        raise invalid(name, "value required")
    if not isinstance(value, str):
        raise invalid(name, "wrong format")
    return value


def whole(params: dict[str, Any], name: str, default: int | None = None) -> int:
    """A parameter that must be a whole number."""
    value = params.get(name, default)
    if value is None:
        raise invalid(name, "value required")
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(name, "wrong format")
    return value


def flag(params: dict[str, Any], name: str) -> bool:
    """A parameter that is true or false, false when it is left out."""
    value = params.get(name, False)
    if not isinstance(value, bool):
        raise invalid(name, "wrong format")
    return value
