"""The stream in the OpenAPI document: its parameters, its refusals, and every event it can send (OpenAPI 3.2, SSE)."""

from typing import Any

from ...model import GapReason, UpstreamState
from ...persons.notifications import LOGGED_OUT, LOGIN_FAILED, PERSON_CHANGED
from .described import MORE_SCHEMAS
from .problems import MEDIA_TYPE

__all__ = ["STREAM_PATHS", "STREAM_SCHEMAS"]

_AGES = {
    "type": "object",
    "additionalProperties": {"type": "integer", "minimum": 0},
    "description": "milliseconds since each ticker was last heard",
}


def _connection(kind: str, description: str, required: list[str], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "required": ["kind", *required],
        "properties": {"kind": {"const": kind}, **properties},
        "additionalProperties": False,
    }


_UPSTREAM = _connection(
    "upstream",
    "the way to the exchange, on joining and on every change",
    ["state", "since", "ages"],
    state={"enum": [str(state) for state in UpstreamState]},
    since={"type": "integer", "description": "UNIX milliseconds"},
    ages=_AGES,
)
_HEARTBEAT = _connection(
    "heartbeat",
    "nothing else was sent for 15 seconds",
    ["time", "ages"],
    time={"type": "integer", "description": "UNIX milliseconds"},
    ages=_AGES,
)
_GAP = _connection(
    "gap",
    "something is missing: what came after an id that cannot be resumed, or a ticker the exchange refuses",
    ["reason"],
    reason={"enum": [str(reason) for reason in GapReason]},
    ticker={"type": "string"},
    **{"from": {"type": ["string", "null"], "description": "the id that was sent"}},
)

_WHO: dict[str, Any] = MORE_SCHEMAS["Person"]
_PERSON = _connection(
    PERSON_CHANGED,
    "to one person alone: who is logged in, on logging in and on joining",
    [*_WHO["required"], "token"],
    **_WHO["properties"],
    token={"type": "string", "description": "for `Authorization: Bearer`; a page is known by its cookie"},
)
_SENTENCE = {"type": "string", "description": "a sentence for the person"}
_LOGIN_FAILED = _connection(LOGIN_FAILED, "to one person alone: why nobody is", ["reason"], reason=_SENTENCE)
_LOGGED_OUT = _connection(LOGGED_OUT, "to one person alone: why nobody is any more", ["reason"], reason=_SENTENCE)


def _event(description: str, event: Any, data: str, **more: Any) -> dict[str, Any]:
    content = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{data}"},
    }
    return {
        "type": "object",
        "description": description,
        "required": ["event", "data", *more],
        "properties": {"event": event, "data": content, "retry": {"type": "integer", "minimum": 1}, **more},
    }


#: For `components.schemas`.
STREAM_SCHEMAS: dict[str, Any] = {
    "Connection": {
        "oneOf": [_UPSTREAM, _HEARTBEAT, _GAP, _PERSON, _LOGIN_FAILED, _LOGGED_OUT],
        "examples": [
            {"kind": "upstream", "state": "live", "since": 1763668100000, "ages": {"btc_usd": 412, "eth_usd": 398}},
            {"kind": "heartbeat", "time": 1763668815000, "ages": {"btc_usd": 15012}},
            {"kind": "gap", "from": "6-911", "reason": "epoch"},
            {"kind": "login_failed", "reason": "the exchange did not answer in time: try again"},
        ],
    },
    "StreamEvent": {
        "oneOf": [
            _event(
                "A price, under the name of its ticker; the id is `<epoch>-<sequence>`.",
                {"type": "string", "not": {"const": "connection"}, "examples": ["btc_usd"]},
                "Price",
                id={"type": "string", "pattern": "^[0-9]+-[0-9]+$", "examples": ["7-20519"]},
            ),
            _event("News of the connection; it carries no id.", {"const": "connection"}, "Connection"),
        ],
        "examples": [{"event": "connection", "data": '{"kind":"gap","from":null,"reason":"refused","ticker":"x_usd"}'}],
    },
}

_TIMER = {
    "name": "timer",
    "in": "query",
    "description": "Seconds between deliveries, in tenths: 0.1 to 3600, or 0 for every tick at once.",
    "schema": {"type": "number", "minimum": 0, "maximum": 3600, "multipleOf": 0.1, "default": 60},
    "example": 5,
}
_CHANNELS = {
    "name": "channels",
    "in": "query",
    "description": "Tickers, separated by commas, 20 at most; `connection` is always there. The configured ones when "
    "left out.",
    "schema": {"type": "array", "items": {"type": "string"}, "maxItems": 21},
    "style": "form",
    "explode": False,
    "example": ["btc_usd", "eth_usd"],
}
_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that arrived; browsers send it by themselves when they come back.",
    "schema": {"type": "string", "maxLength": 128},
}

#: For `paths`.
STREAM_PATHS: dict[str, Any] = {
    "/sse/": {
        "get": {
            "tags": ["stream"],
            "operationId": "stream",
            "summary": "Prices as they come",
            "description": "On joining the newest price of each ticker and the state, then at every delivery the "
            "newest of each ticker that had one. It is answered 200 even under overload, with a long `retry` and "
            "the end, because an EventSource never comes back from any other status.",
            "parameters": [_TIMER, _CHANNELS, _LAST_EVENT_ID],
            "responses": {
                "200": {
                    "description": "The stream.",
                    "content": {"text/event-stream": {"itemSchema": {"$ref": "#/components/schemas/StreamEvent"}}},
                },
                "422": {
                    "description": "A parameter is wrong.",
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            },
        }
    }
}
