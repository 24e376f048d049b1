"""Encodes prices and events of the connection channel as the bytes of an event stream.

Pure: no socket, no clock. A line break in any field cannot begin another field.
Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

import functools
import re
from collections.abc import Mapping

import msgspec
from msgspec import UNSET

from ..fields import Fields, FieldValues, fields_json
from ..model import GapReason, Tick, Upstream
from .events import GapEvent, HeartbeatEvent, UpstreamEvent

__all__ = [
    "CONNECTION",
    "connection_event",
    "event",
    "gap_data",
    "heartbeat_data",
    "price_event",
    "retry",
    "state_data",
    "with_fields",
]

#: The channel that every stream has beside its tickers.
CONNECTION = "connection"

#: Events with fields that are kept, as cohorts that ask for the same fields receive the same events at about one time.
KEPT_WITH_FIELDS = 1_024

#: "Lines must be separated by either CRLF, a single LF, or a single CR."
_LINE_END = re.compile("\r\n|\r|\n")
#: "If the field value contains U+0000 NULL, then ignore the field" (of ids); names are kept free of it as well.
_FORBIDDEN = re.compile("[\r\n\0]")


def event(name: str, data: str, event_id: str | None = None) -> bytes:
    """One event. In its name and id, characters that could forge a field become U+FFFD; data keeps its line breaks."""
    lines = [] if event_id is None else [f"id: {_one_line(event_id)}"]
    lines.append(f"event: {_one_line(name)}")
    lines += [f"data: {line}" for line in _LINE_END.split(data)]
    return _encode("\n".join(lines) + "\n\n")


def price_event(tick: Tick) -> bytes:
    """The event of a tick: its id, its ticker as the name, its JSON as data."""
    return event(tick.ticker, tick.json(), tick.id)


@functools.lru_cache(maxsize=KEPT_WITH_FIELDS)
def with_fields(price: bytes, values: FieldValues, fields: Fields) -> bytes:
    """The event of a price with the groups ``fields`` behind its other members."""
    return price[:-3] + fields_json(values, fields).encode() + price[-3:]


def connection_event(data: str) -> bytes:
    """An event of the connection channel. It has no id, so that the reader resumes after its last tick."""
    return event(CONNECTION, data)


def retry(milliseconds: int) -> bytes:
    """The line that sets the pause before reconnecting; an event or a blank line must follow."""
    return b"retry: %d\n" % milliseconds


def state_data(upstream: Upstream, ages: Mapping[str, int]) -> str:
    """The data of a state event: the state of upstream, since when (UNIX ms), and the age of each price (ms)."""
    return msgspec.json.encode(UpstreamEvent(upstream.state, upstream.since, ages)).decode()


def heartbeat_data(time_ms: int, ages: Mapping[str, int]) -> str:
    """The data of a heartbeat: an event, because a page cannot see comments."""
    return msgspec.json.encode(HeartbeatEvent(time_ms, ages)).decode()


def gap_data(reason: GapReason, *, since: str | None = None, ticker: str | None = None) -> str:
    """The data of a gap: the events after the id ``since``, or those of a ticker, cannot be delivered."""
    return msgspec.json.encode(GapEvent(since, reason, UNSET if ticker is None else ticker)).decode()


def _one_line(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


def _encode(text: str) -> bytes:
    # "Event streams ... must always be encoded as UTF-8", which has no form for half a surrogate pair.
    return text.encode("utf-8", "replace")
