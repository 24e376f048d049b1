"""The methods of a session: introductions, heartbeats, logins and their tokens."""

from typing import Any

from ..statements.connection import SHORTEST_HEARTBEAT
from .dispatch import MethodCall, handler, text, whole
from .rpc_errors import RpcError, invalid

__all__: list[str] = []

VERSION = "1.2.26"


@handler("public/test")
def test(call: MethodCall) -> Any:
    """The call that answers a test_request."""
    call.caller.proved_alive()
    if call.params.get("expected_result") == "exception":
        raise RpcError(11094)
    return {"version": VERSION}


@handler("public/hello")
def hello(call: MethodCall) -> Any:
    """An introduction."""
    if not call.caller.websocket:
        raise RpcError(10030)
    text(call.params, "client_name")
    text(call.params, "client_version")
    return {"version": VERSION}


@handler("public/auth")
def auth(call: MethodCall) -> Any:
    """A login."""
    grant = call.state.accounts.authenticate(call.params, call.caller, websocket=call.caller.websocket)
    call.caller.remember(grant)
    return grant.answer(call.params.get("state"), call.state.switches)


@handler("public/fork_token")
def fork_token(call: MethodCall) -> Any:
    """A new named session."""
    grant = call.state.accounts.fork(text(call.params, "refresh_token"), text(call.params, "session_name"), call.caller)
    return grant.answer(None, call.state.switches)


@handler("public/exchange_token")
def exchange_token(call: MethodCall) -> Any:
    """A login for another account of the same person."""
    params = call.params
    refresh, subject = text(params, "refresh_token"), whole(params, "subject_id")
    grant = call.state.accounts.exchange(refresh, subject, str(params.get("scope") or ""), call.caller)
    return grant.answer(None, call.state.switches)


@handler("public/set_heartbeat")
def set_heartbeat(call: MethodCall) -> Any:
    """Heartbeats for this connection."""
    if not call.caller.websocket:
        raise RpcError(10030)
    interval = call.params.get("interval")
    if interval is None:
        raise invalid("interval", "value required")
    if isinstance(interval, bool) or not isinstance(interval, int | float):
        raise invalid("interval", "wrong format")
    if interval < SHORTEST_HEARTBEAT.value:
        raise invalid("interval", f"value must be >= {SHORTEST_HEARTBEAT.value}")
    call.caller.heartbeat_seconds = float(interval)
    call.caller.proved_alive()
    return "ok"


@handler("public/disable_heartbeat")
def disable_heartbeat(call: MethodCall) -> Any:
    """No more heartbeats."""
    if not call.caller.websocket:
        raise RpcError(10030)
    call.caller.heartbeat_seconds = 0.0
    return "ok"
