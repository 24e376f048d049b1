"""The subscription methods with their real behaviour: silent drops, descending order, one ``.raw`` that fails all."""

from dataclasses import replace
from typing import Any

from ..statements.channels import RAW_REFUSED_CODE
from ..statements.errors import SUBSCRIBE_BY_HTTP_CODE
from ..statements.limits import CHANNELS_PER_REQUEST, LONGEST_LABEL
from .account_channels import account_channel, is_account_channel
from .broadcast import Broadcaster
from .channels import SimulatedChannel, event_channel
from .dispatch import Caller, MethodCall, handler
from .rpc_errors import RpcError, invalid

__all__ = ["leave_all"]


@handler("public/subscribe", "private/subscribe")
def subscribe(call: MethodCall) -> Any:
    """Returns the accepted channels in descending byte order; unknown ones are left out silently."""
    if not call.caller.websocket:
        raise RpcError(SUBSCRIBE_BY_HTTP_CODE.value)
    names = _names(call)
    label = call.params.get("label")
    if label is not None and (not isinstance(label, str) or len(label) > LONGEST_LABEL.value):
        raise invalid("label", "wrong format")
    found = [channel for name in names if (channel := _read(call, name)) is not None]
    accepted = {channel.name: channel for channel in found if not call.state.active_faults.refuses(channel.name)}
    if call.grant is None and any(channel.raw and channel.name not in call.broadcaster.recorded for channel in found):
        raise RpcError(RAW_REFUSED_CODE.value)  # nothing of the request is subscribed, other channels included
    for name in sorted(accepted, key=str.encode, reverse=True):
        again = name in call.caller.channels
        entry = call.broadcaster.join(accepted[name], call.caller, call.now_ms)
        call.caller.channels[name] = entry
        if not again:
            call.caller.first_values.append(entry)
    return sorted(accepted, key=str.encode, reverse=True)


def _read(call: MethodCall, name: str) -> SimulatedChannel | None:
    door = call.state.door
    if is_account_channel(name):
        return account_channel(call, name) if door.account_channels else None
    if not door.market_channels:
        return None
    if name == "platform_state":
        return replace(event_channel(name), firsts=call.state.index_states)
    known = call.state.channels.read(name, call.now_ms)
    return event_channel(name) if known is None and name in call.broadcaster.recorded else known


@handler("public/unsubscribe", "private/unsubscribe")
def unsubscribe(call: MethodCall) -> Any:
    """Returns the channels that were removed."""
    if not call.caller.websocket:
        raise RpcError(SUBSCRIBE_BY_HTTP_CODE.value)
    removed = [name for name in dict.fromkeys(_names(call)) if name in call.caller.channels]
    for name in removed:
        call.broadcaster.leave(call.caller.channels.pop(name), call.caller)
    return sorted(removed, key=str.encode, reverse=True)


@handler("public/unsubscribe_all", "private/unsubscribe_all")
def unsubscribe_all(call: MethodCall) -> Any:
    """Removes all channels."""
    if not call.caller.websocket:
        raise RpcError(SUBSCRIBE_BY_HTTP_CODE.value)
    leave_all(call.caller, call.broadcaster)
    return "ok"


def leave_all(caller: Caller, broadcaster: Broadcaster) -> None:
    """Removes the caller from every channel."""
    for entry in caller.channels.values():
        broadcaster.leave(entry, caller)
    caller.channels.clear()


def _names(call: MethodCall) -> list[str]:
    names = call.params.get("channels")
    if names is None:
        raise invalid("channels", "value required")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise invalid("channels", "wrong format")
    if len(names) > CHANNELS_PER_REQUEST.value:
        raise invalid("channels", "invalid value")
    return names
