"""The subscription calls, with their traps: silent drops, descending answers, one ``.raw`` that spoils all."""

from typing import Any

from .channels import Channel
from .dispatch import Call, Caller, handler
from .refusals import Refusal, invalid

__all__ = ["leave_all"]

MOST_CHANNELS = 500
LONGEST_LABEL = 16


@handler("public/subscribe", "private/subscribe")
def subscribe(call: Call) -> Any:
    """The channels accepted, in descending byte order; what is unknown is missing without a word."""
    if not call.caller.websocket:
        raise Refusal(10030)
    names = _names(call)
    label = call.params.get("label")
    if label is not None and (not isinstance(label, str) or len(label) > LONGEST_LABEL):
        raise invalid("label", "wrong format")
    found = [channel for name in names if (channel := _read(call, name)) is not None]
    accepted = {channel.name: channel for channel in found if not channel.private or call.grant is not None}
    if call.grant is None and any(channel.raw and channel.name not in call.feed.recorded for channel in found):
        raise Refusal(13778)  # nothing of the call is subscribed, not even its other channels
    for name in sorted(accepted, key=str.encode, reverse=True):
        again = name in call.caller.channels
        entry = call.feed.join(accepted[name], call.caller, call.now_ms)  # type: ignore[arg-type]
        call.caller.channels[name] = entry
        if not again:
            call.caller.greetings.append(entry)
    return sorted(accepted, key=str.encode, reverse=True)


def _read(call: Call, name: str) -> Channel | None:
    known = call.state.channels.read(name, call.now_ms)
    if known is None and name in call.feed.recorded:
        return Channel(name, None, lambda _: None, first=False, raw=name.endswith(".raw"))
    return known


@handler("public/unsubscribe", "private/unsubscribe")
def unsubscribe(call: Call) -> Any:
    """The channels really removed."""
    if not call.caller.websocket:
        raise Refusal(10030)
    removed = [name for name in dict.fromkeys(_names(call)) if call.caller.channels.pop(name, None) is not None]
    for name in removed:
        call.feed.leave(name, call.caller)  # type: ignore[arg-type]
    return sorted(removed, key=str.encode, reverse=True)


@handler("public/unsubscribe_all", "private/unsubscribe_all")
def unsubscribe_all(call: Call) -> Any:
    """No channel is left."""
    if not call.caller.websocket:
        raise Refusal(10030)
    leave_all(call.caller, call.feed.leave)
    return "ok"


def leave_all(caller: Caller, leave: Any) -> None:
    """Take a caller out of every channel."""
    for name in list(caller.channels):
        leave(name, caller)
    caller.channels.clear()


def _names(call: Call) -> list[str]:
    names = call.params.get("channels")
    if names is None:
        raise invalid("channels", "value required")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise invalid("channels", "wrong format")
    if len(names) > MOST_CHANNELS:
        raise invalid("channels", "invalid value")
    return names
