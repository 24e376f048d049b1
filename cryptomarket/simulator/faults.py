"""Faults on demand: each has a name, an optional argument, and one effect on the exchange or its sessions.

The same table serves ``--fault name[:argument]``, the HTTP control API and the methods of tests. ``name:arg@5`` happens
five seconds after the start, ``name:arg/30`` every thirty seconds, without either at once and for every new connection.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from .active_faults import ActiveFaults
from .broadcast import Broadcaster, frame_of
from .connection import ServerConnection
from .encoding import text_frame
from .indices import INDICES
from .shared_state import SharedState

__all__ = ["FAULTS", "Fault", "FaultTarget", "ScheduledFault", "fault", "inject"]


class FaultTarget(Protocol):
    """What a fault needs of the exchange."""

    state: SharedState
    broadcaster: Broadcaster
    links: set[ServerConnection]


Action = Callable[[FaultTarget, str], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its help text and its action.

    An ``instant`` fault affects the open connections once; the argument of a ``number`` fault is a number.
    """

    help: str
    action: Action
    instant: bool = False
    number: bool = False


#: Every fault, by name.
FAULTS: dict[str, Fault] = {}


def fault(name: str, *, instant: bool = False, number: bool = False) -> Callable[[Action], Action]:
    """Registers a function as a fault; its docstring is the help text."""

    def enter(action: Action) -> Action:
        FAULTS[name] = Fault(str(action.__doc__), action, instant, number)
        return action

    return enter


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """A fault with its first time (seconds after the start) and its period (seconds, 0 for once)."""

    name: str
    argument: str = ""
    at_seconds: float = 0.0
    every_seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "ScheduledFault":
        """``name[:argument][@seconds][/seconds]``; raises ValueError saying what is wrong."""
        rest, every = _suffix(text, "/")
        rest, at = _suffix(rest, "@")
        name, _, argument = rest.partition(":")
        if name not in FAULTS:
            raise ValueError(f"unknown fault {name!r}: expected one of {', '.join(sorted(FAULTS))}")
        if FAULTS[name].number and argument not in ("", "off") and not _is_number(argument):
            raise ValueError(f"fault {name}: expected a number, not {argument!r}")
        return cls(name, argument, at or every, every)


def _suffix(text: str, mark: str) -> tuple[str, float]:
    head, found, tail = text.rpartition(mark)
    try:
        return (head, float(tail)) if found else (text, 0.0)
    except ValueError:
        return text, 0.0  # the mark belongs to the argument


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def inject(exchange: FaultTarget, name: str, argument: str = "") -> None:
    """Injects a fault now; raises ValueError for an unknown one or an unusable argument."""
    if name not in FAULTS:
        raise ValueError(f"unknown fault {name!r}: expected one of {', '.join(sorted(FAULTS))}")
    FAULTS[name].action(exchange, argument)


def _sockets(exchange: FaultTarget) -> Iterable[ServerConnection]:
    return [link for link in exchange.links if link.session is not None]


# Connections


@fault("drop", instant=True)
def drop(exchange: FaultTarget, argument: str) -> None:
    """Close every WebSocket connection without a closing handshake."""
    for link in _sockets(exchange):
        link.drop()


@fault("reset", instant=True)
def reset(exchange: FaultTarget, argument: str) -> None:
    """Reset every WebSocket connection."""
    for link in _sockets(exchange):
        link.reset()


@fault("close", instant=True, number=True)
def close(exchange: FaultTarget, argument: str) -> None:
    """Close every WebSocket connection properly, with the code given (default 1001)."""
    for link in _sockets(exchange):
        link.close(int(argument or 1001))


@fault("half_open", instant=True)
def half_open(exchange: FaultTarget, argument: str) -> None:
    """Open connections stay and answer pings; nothing else is sent on them."""
    for link in _sockets(exchange):
        link.ignores_output = True


@fault("dead", instant=True)
def dead(exchange: FaultTarget, argument: str) -> None:
    """Open connections stay; no byte is read or sent, not even for pings."""
    for link in _sockets(exchange):
        link.ignores_input = link.ignores_output = True


@fault("refuse_connections")
def refuse_connections(exchange: FaultTarget, argument: str) -> None:
    """New connections are answered with HTTP 503."""
    exchange.state.active_faults.refuse_connections = argument != "off"


@fault("drop_at_once")
def drop_at_once(exchange: FaultTarget, argument: str) -> None:
    """New WebSocket connections are accepted and dropped."""
    exchange.state.active_faults.drop_at_once = argument != "off"


# Frames


@fault("garbage", instant=True)
def garbage(exchange: FaultTarget, argument: str) -> None:
    """Send a frame that is not JSON, or the given text."""
    for link in _sockets(exchange):
        link.send(text_frame(argument or '{"jsonrpc":"2.0","method":"subscr\x00iption","params":{]'))


@fault("not_utf8", instant=True)
def not_utf8(exchange: FaultTarget, argument: str) -> None:
    """Send a text frame that is not UTF-8."""
    for link in _sockets(exchange):
        link.send(b"\x81\x04\xff\xfe\xfd\xfc")


@fault("truncated", instant=True)
def truncated(exchange: FaultTarget, argument: str) -> None:
    """Send the first half of a notification's frame and drop the connection."""
    for link in _sockets(exchange):
        whole = frame_of("deribit_price_index.btc_usd", {"timestamp": 1, "price": 83251.03, "index_name": "btc_usd"})
        link.write(whole[: len(whole) // 2])
        link.drop()


@fault("oversized", instant=True, number=True)
def oversized(exchange: FaultTarget, argument: str) -> None:
    """Send a notification of so many bytes (default 32 MiB)."""
    frame = frame_of("announcements", {"title": "x" * int(argument or 32 * 2**20)})
    for link in _sockets(exchange):
        link.write(frame)


@fault("test_request", instant=True, number=True)
def test_request(exchange: FaultTarget, argument: str) -> None:
    """Send a test_request now, in an interval of the seconds given (default 10)."""
    for link in _sockets(exchange):
        if link.session is not None:
            link.session.heartbeat_seconds = link.session.heartbeat_seconds or float(argument or 10)
            link.session.ask()


@fault("split")
def split(exchange: FaultTarget, argument: str) -> None:
    """Send every message as WebSocket fragments, in single TCP writes."""
    exchange.state.active_faults.split = argument != "off"


@fault("repeat")
def repeat(exchange: FaultTarget, argument: str) -> None:
    """Send every notification twice."""
    exchange.state.active_faults.repeat = argument != "off"


# Answers


@fault("delay", number=True)
def delay(exchange: FaultTarget, argument: str) -> None:
    """Answer so many seconds late (default 0.5, 0 ends it); notifications are not delayed and overtake answers."""
    exchange.state.active_faults.delay_seconds = float(argument or 0.5)


@fault("reorder")
def reorder(exchange: FaultTarget, argument: str) -> None:
    """Answer requests that are near each other in reverse order."""
    exchange.state.active_faults.reorder = argument != "off"


@fault("unanswered")
def unanswered(exchange: FaultTarget, argument: str) -> None:
    """Execute the given method without answering it."""
    exchange.state.active_faults.unanswered.add(argument)


@fault("error")
def error(exchange: FaultTarget, argument: str) -> None:
    """Answer ``CODE`` to every call, or ``METHOD:CODE`` to one method; code 0 ends it."""
    method, _, code = argument.rpartition(":")
    exchange.state.active_faults.errors.pop(method, None)
    if int(code):
        exchange.state.active_faults.errors[method] = int(code)


@fault("http_page")
def http_page(exchange: FaultTarget, argument: str) -> None:
    """Answer HTTP requests with 502 and an HTML page."""
    exchange.state.active_faults.http_page = argument != "off"


@fault("too_many")
def too_many(exchange: FaultTarget, argument: str) -> None:
    """Empty all credits: the next request is answered 10028 and ends its session."""
    exchange.state.exhaust_credits()


# Channels


@fault("stall")
def stall(exchange: FaultTarget, argument: str) -> None:
    """Stop sending on the channels that match the pattern (default: all); ``-PATTERN`` ends it."""
    stalled = exchange.state.active_faults.stalled
    (stalled.discard if argument.startswith("-") else stalled.add)(argument.removeprefix("-") or "*")


@fault("refuse")
def refuse(exchange: FaultTarget, argument: str) -> None:
    """Drop the channels that match the pattern from every subscription, silently."""
    exchange.state.active_faults.refused.add(argument)


@fault("forget", instant=True)
def forget(exchange: FaultTarget, argument: str) -> None:
    """Drop the subscriptions to a channel: it is silent until it is subscribed again."""
    for link in _sockets(exchange):
        if link.session is not None and argument in link.session.channels:
            exchange.broadcaster.leave(link.session.channels.pop(argument), link.session)


@fault("expire")
def expire(exchange: FaultTarget, argument: str) -> None:
    """Expire an instrument: it becomes silent and leaves the catalogue."""
    exchange.state.market.expire(argument, exchange.state.now_ms())


# The platform


@fault("maintenance")
def maintenance(exchange: FaultTarget, argument: str) -> None:
    """Announce maintenance, answer 11051, and drop connections; ``off`` ends it."""
    on = argument != "off"
    exchange.state.platform.maintenance = on
    exchange.broadcaster.publish_event("platform_state", {"maintenance": on})
    if on and argument != "quiet":
        drop(exchange, "")


@fault("lock")
def lock(exchange: FaultTarget, argument: str) -> None:
    """Lock an index, or all of them: its prices and those of its instruments stop. ``-NAME`` unlocks it."""
    locked, name = not argument.startswith("-"), argument.lstrip("-")
    platform = exchange.state.platform
    if not name:
        platform.all_locked = locked
    elif name not in INDICES:
        raise ValueError(f"unknown index {name!r}")
    elif locked:
        platform.locked.add(name)
    else:
        platform.locked.discard(name)
    for index in [name] if name else list(INDICES):
        exchange.broadcaster.publish_event("platform_state", exchange.state.index_state(index))


@fault("settle")
def settle(exchange: FaultTarget, argument: str) -> None:
    """Put the platform into the daily settlement (state ``settlement``); ``off`` ends it."""
    exchange.state.platform.settling = argument != "off"


@fault("no_unauthenticated")
def no_unauthenticated(exchange: FaultTarget, argument: str) -> None:
    """Answer 11056 to public calls without a login; ``off`` ends it."""
    allowed = argument == "off"
    exchange.state.platform.unauthenticated_calls = allowed
    data = {"allow_unauthenticated_public_requests": allowed}
    exchange.broadcaster.publish_event("platform_state.public_methods_state", data)


@fault("skew", number=True)
def skew(exchange: FaultTarget, argument: str) -> None:
    """Shift the clock of the exchange by the given seconds."""
    exchange.state.skew_seconds = float(argument or 0)


@fault("clear")
def clear(exchange: FaultTarget, argument: str) -> None:
    """End every lasting fault."""
    exchange.state.active_faults = ActiveFaults()
    exchange.state.skew_seconds = 0.0
    exchange.state.accounts.refuse_logins = None
    exchange.state.accounts.widened_refreshes = 0
    for end in (maintenance, settle, no_unauthenticated):
        end(exchange, "off")
    exchange.state.platform.locked.clear()
    exchange.state.platform.all_locked = False
