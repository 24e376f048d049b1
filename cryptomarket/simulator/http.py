"""The same methods over HTTP: ``GET`` with query parameters or ``POST`` with the JSON-RPC body."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..statements.errors import ERROR_STATUS
from .accounts import IssuedGrant
from .broadcast import Broadcaster, ChannelState
from .dispatch import MalformedRequest, RpcRequest, read_request, run
from .encoding import answer, refusal
from .rpc_errors import RpcError, unauthorized
from .shared_state import SharedState

__all__ = ["HttpCaller", "HttpResponse", "respond"]

PREFIX = "/api/v2"

#: Query parameters that are not text.
_TYPED = {
    "amount",
    "channels",
    "contracts",
    "count",
    "depth",
    "end_timestamp",
    "expired",
    "extended",
    "include_old",
    "include_unfilled",
    "instrument_id",
    "interval",
    "offset",
    "post_only",
    "price",
    "reduce_only",
    "reject_post_only",
    "start_timestamp",
    "subaccount_id",
    "subject_id",
    "timestamp",
    "with_portfolio",
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response of the exchange's HTTP side."""

    status: int
    body: bytes
    content_type: str = "application/json"
    close: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    #: It is sent so much later.
    delay_seconds: float = 0.0


@dataclass(eq=False)
class HttpCaller:
    """One HTTP connection: it can hold neither subscriptions nor a heartbeat."""

    address: str
    websocket: bool = False
    remembered: IssuedGrant | None = None
    heartbeat_seconds: float = 0.0
    channels: dict[str, ChannelState] = field(default_factory=dict)
    first_values: list[ChannelState] = field(default_factory=list)
    waiting: int = 0

    def remember(self, grant: IssuedGrant) -> None:
        """Does nothing: HTTP has no login per connection."""

    def proved_alive(self) -> None:
        """Does nothing: HTTP has no heartbeat."""

    def deliver(self, channel: str, frame: bytes) -> None:
        """Does nothing: HTTP has no notifications."""


def respond(
    state: SharedState,
    broadcaster: Broadcaster,
    caller: HttpCaller,
    verb: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes,
) -> HttpResponse:
    """The response to one HTTP request."""
    us_in = state.now_us()
    parts = urlsplit(target)
    if not parts.path.startswith(PREFIX):
        return HttpResponse(404, b"<html><body><h1>404 Not Found</h1></body></html>", "text/html")
    if verb not in ("GET", "POST"):
        return HttpResponse(405, b"", "text/plain")
    identifier: int | str | None = None
    why: RpcError | None = None
    result: Any = None
    try:
        request = _read(verb, parts.path, parts.query, body)
        identifier = request.identifier
        caller.remembered = _login(state, caller, verb, target, headers, body)
        result = run(state, broadcaster, caller, request)
    except MalformedRequest as malformed:
        identifier, why = malformed.identifier, malformed
    except RpcError as refused:
        why = refused
    us_out = state.now_us()
    if why is None:
        return HttpResponse(200, answer(identifier, result, us_in, us_out, state.testnet).encode())
    text = refusal(identifier, why, us_in, us_out, state.testnet)
    return HttpResponse(_status(state, why), text.encode(), close=why.ends)


def _status(state: SharedState, why: RpcError) -> int:
    if why.code == 10028 and state.door.answers_too_many:
        return state.switches.too_many_status
    return ERROR_STATUS.value


def _read(verb: str, path: str, query: str, body: bytes) -> RpcRequest:
    method = path[len(PREFIX) :].strip("/")
    if verb == "POST":
        request = read_request(body)
        return RpcRequest(request.identifier, request.method or method, request.params)
    params: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        params[name] = _typed(value) if name in _TYPED else value
    return RpcRequest(None, method, params)


def _typed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _login(
    state: SharedState, caller: HttpCaller, verb: str, target: str, headers: Mapping[str, str], body: bytes
) -> IssuedGrant | None:
    """The login of the ``Authorization`` header: a bearer token, Basic, or a signature."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if not kind:
        return None
    if kind.lower() == "bearer":
        return state.accounts.grant_of(value.strip(), caller)
    if kind.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise RpcError(13004) from None
        return state.accounts.authenticate(
            {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}, caller
        )
    if kind.lower() == "deri-hmac-sha256":
        return _signed(state, caller, value, f"{verb}\n{target}\n{body.decode(errors='replace')}\n")
    raise unauthorized()


def _signed(state: SharedState, caller: HttpCaller, value: str, data: str) -> IssuedGrant:
    parts = dict(part.strip().partition("=")[::2] for part in value.split(","))
    if not parts.get("ts", "").isdecimal():
        raise RpcError(13004)
    params = {
        "grant_type": "client_signature",
        "client_id": parts.get("id", ""),
        "timestamp": int(parts["ts"]),
        "signature": parts.get("sig", ""),
        "nonce": parts.get("nonce", ""),
        "data": data,
    }
    return state.accounts.authenticate(params, caller)


def sign(secret: str, timestamp_ms: int, nonce: str, data: str = "") -> str:
    """Returns the signature that the exchange expects; for tests."""
    return hmac.new(secret.encode(), f"{timestamp_ms}\n{nonce}\n{data}".encode(), hashlib.sha256).hexdigest()
