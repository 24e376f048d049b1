"""JSON-RPC over one connection, without the connection: text in, events out; intentions in, text out.

Source: https://docs.deribit.com/articles/json-rpc-overview.md. It never awaits, never calls back, never logs. Every
request ends in exactly one event. The reply to a test_request is in `replies()` as soon as `receive` returns.

The states of a connection; CLOSE leads from every one of them to CLOSED:

    OPEN ─GREET→ GREETING ─LOG_IN→ LOGGING_IN ─SET_HEARTBEAT→ SETTING_HEARTBEAT
      └──────────────┴────────────────SET_HEARTBEAT───────────────↑     │
                                    STREAMING ←STREAM─ SUBSCRIBING ←SUBSCRIBE
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

from ..errors import InternalError
from .messages import ErrorBody, Frame, UnreadableMessage, decode_as, decode_frame
from .upstream_clock import UpstreamClock

__all__ = [
    "TRANSITIONS",
    "ConnectionState",
    "ErrorReply",
    "Event",
    "Expired",
    "Heartbeat",
    "IllegalTransition",
    "Lost",
    "Notified",
    "Protocol",
    "Purpose",
    "Request",
    "Result",
    "Step",
    "Undecodable",
    "UnsafeCall",
    "Unsolicited",
    "check_safe",
]


class ConnectionState(Enum):
    """How far a connection has come."""

    OPEN = "open"
    GREETING = "greeting"
    LOGGING_IN = "logging in"
    SETTING_HEARTBEAT = "setting the heartbeat"
    SUBSCRIBING = "subscribing"
    STREAMING = "streaming"
    CLOSED = "closed"


class Step(Enum):
    """What changes the state of a connection."""

    GREET = "greet"
    LOG_IN = "log in"
    SET_HEARTBEAT = "set the heartbeat"
    SUBSCRIBE = "subscribe"
    STREAM = "stream"
    CLOSE = "close"


TRANSITIONS: dict[tuple[ConnectionState, Step], ConnectionState] = {
    (ConnectionState.OPEN, Step.GREET): ConnectionState.GREETING,
    (ConnectionState.OPEN, Step.SET_HEARTBEAT): ConnectionState.SETTING_HEARTBEAT,
    (ConnectionState.GREETING, Step.LOG_IN): ConnectionState.LOGGING_IN,
    (ConnectionState.GREETING, Step.SET_HEARTBEAT): ConnectionState.SETTING_HEARTBEAT,
    (ConnectionState.LOGGING_IN, Step.SET_HEARTBEAT): ConnectionState.SETTING_HEARTBEAT,
    (ConnectionState.SETTING_HEARTBEAT, Step.SUBSCRIBE): ConnectionState.SUBSCRIBING,
    (ConnectionState.SUBSCRIBING, Step.STREAM): ConnectionState.STREAMING,
    **{(state, Step.CLOSE): ConnectionState.CLOSED for state in ConnectionState},
}


class IllegalTransition(InternalError):
    """A step that the state of the connection does not allow."""

    def __init__(self, state: ConnectionState, step: Step) -> None:
        super().__init__(state, step)
        self.state = state
        self.step = step

    def __str__(self) -> str:
        return f"cannot {self.step.value} while {self.state.value}"


class UnsafeCall(InternalError):
    """A call that must never be sent: a private one without a token, or one that closes the connection for all."""


def check_safe(method: str, params: Mapping[str, Any]) -> None:
    """Raise UnsafeCall for a call that would act for all persons on the shared connection."""
    if method == "private/logout":
        raise UnsafeCall("private/logout closes the connection for all persons")
    if method.startswith("private/") and not params.get("access_token"):
        raise UnsafeCall(f"{method} without an access_token would run as the person who logged in last")


class Purpose(Enum):
    """Why a request was sent; it decides what its outcome leads to (`session`)."""

    HELLO = "hello"
    LOGIN = "login"
    HEARTBEAT = "heartbeat"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    COMPARE = "compare"
    PROBE = "probe"
    REPLY = "reply"
    CALL = "call"


@dataclass(frozen=True, slots=True)
class Request:
    """A request until its outcome. Parameters can contain secrets and are not in its representation."""

    id: int
    method: str
    purpose: Purpose
    sent: float
    deadline: float
    params: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """A request was answered; ``result`` is raw JSON."""

    request: Request
    result: msgspec.Raw = field(repr=False)


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A request was answered with an error; ``request`` is None when the answer carries no id."""

    request: Request | None
    code: int
    message: str
    reason: str = ""
    retry_after: float = 0.0  # seconds


@dataclass(frozen=True, slots=True)
class Expired:
    """A request was not answered in time; an answer that still arrives is Unsolicited."""

    request: Request


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection ended before the request was answered."""

    request: Request


@dataclass(frozen=True, slots=True)
class Notified:
    """A notification of a channel; ``data`` is raw JSON."""

    channel: str
    data: msgspec.Raw = field(repr=False)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat of the exchange; for a test_request the reply is in ``replies()``."""

    is_test_request: bool


@dataclass(frozen=True, slots=True)
class Unsolicited:
    """An answer to no pending request."""

    id: int | str


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A frame that is neither an answer nor a notification."""

    reason: str


Event = Result | ErrorReply | Expired | Lost | Notified | Heartbeat | Unsolicited | Undecodable


class Protocol:
    """The JSON-RPC of one connection: numbers requests, matches answers, answers heartbeats.

    IllegalTransition and UnsafeCall are bugs of the caller. Nothing that the exchange sends raises an error.
    """

    def __init__(self, *, answer_seconds: float = 30.0, clock: UpstreamClock | None = None) -> None:
        self.state = ConnectionState.OPEN
        self.answer_seconds = answer_seconds  # Deribit advises about 30
        self._clock = clock or UpstreamClock()
        self._next_id = 1
        self._pending: dict[int, Request] = {}
        self._replies: list[str] = []

    def __repr__(self) -> str:
        return f"<Protocol {self.state.value}, {len(self._pending)} unanswered>"

    @property
    def in_flight(self) -> int:
        """The number of requests that wait for an answer."""
        return len(self._pending)

    def move(self, step: Step) -> None:
        """Take a step; raises IllegalTransition when the state does not allow it."""
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            raise IllegalTransition(self.state, step)
        self.state = state

    def request(
        self, method: str, params: dict[str, Any], purpose: Purpose, now: float, *, within: float | None = None
    ) -> tuple[Request, str]:
        """A numbered request and its text; raises UnsafeCall, and IllegalTransition when the connection is closed."""
        if self.state is ConnectionState.CLOSED:
            raise IllegalTransition(self.state, Step.SUBSCRIBE)
        check_safe(method, params)
        request = Request(self._next_id, method, purpose, now, now + (within or self.answer_seconds), params)
        self._next_id += 1
        self._pending[request.id] = request
        body = {"jsonrpc": "2.0", "id": request.id, "method": method, "params": params}
        return request, msgspec.json.encode(body).decode()

    def receive(self, text: str | bytes, now: float) -> list[Event]:
        """The events of one message; raises nothing, whatever the message is."""
        try:
            frame = decode_frame(text)
        except UnreadableMessage as exc:
            return [Undecodable(str(exc))]
        if frame.method:
            return self._notified(frame, now)
        if frame.error is not msgspec.UNSET:
            return self._refused(frame, frame.error, now)
        if frame.id is None or frame.result is msgspec.UNSET:
            return [Undecodable("neither an answer nor a notification")]
        request = self._take(frame, now)
        return [Result(request, frame.result)] if request else [Unsolicited(frame.id)]

    def _notified(self, frame: Frame, now: float) -> list[Event]:
        params = frame.params
        if frame.method == "subscription" and params and params.channel and params.data:
            return [Notified(params.channel, params.data)]
        if frame.method != "heartbeat" or params is None:
            return [Undecodable("a notification of an unknown kind")]
        if params.type != "test_request":
            return [Heartbeat(is_test_request=False)]
        # "the API consumer must respond with a public/test request; otherwise the server will immediately close
        # the connection" (public-set_heartbeat.md)
        if self.state is not ConnectionState.CLOSED:
            self._replies.append(self.request("public/test", {}, Purpose.REPLY, now)[1])
        return [Heartbeat(is_test_request=True)]

    def _refused(self, frame: Frame, raw: msgspec.Raw, now: float) -> list[Event]:
        try:
            error = decode_as(ErrorBody, raw)
        except UnreadableMessage:
            error = ErrorBody(message="an error without a readable body")
        if frame.id is None:  # the answer to an unreadable or oversized frame names no request
            return [ErrorReply(None, error.code, error.message, error.reason, error.retry_after)]
        request = self._take(frame, now)
        if request is None:
            return [Unsolicited(frame.id)]
        return [ErrorReply(request, error.code, error.message, error.reason, error.retry_after)]

    def _take(self, frame: Frame, now: float) -> Request | None:
        """The request that the frame answers; the answer tells the exchange's time."""
        request = self._pending.pop(frame.id, None) if isinstance(frame.id, int) else None
        if request is not None and (answered := frame.answered_us) is not None:
            self._clock.answered(answered, request.sent, now)
        return request

    def replies(self) -> list[str]:
        """The texts that must be sent at once, ahead of any queue; each is returned once."""
        replies, self._replies = self._replies, []
        return replies

    def expire(self, now: float) -> list[Event]:
        """The requests whose deadline has passed; they are not pending any more."""
        late = [request for request in self._pending.values() if request.deadline <= now]
        for request in late:
            del self._pending[request.id]
        return [Expired(request) for request in late]

    def close(self) -> list[Event]:
        """The connection is gone: every pending request is lost, and no further one can be made."""
        lost, self._pending = list(self._pending.values()), {}
        self._replies.clear()
        self.move(Step.CLOSE)
        return [Lost(request) for request in lost]
