"""One WebSocket session of the exchange: requests in, responses and notifications out. It knows no socket.

Frames go to a FrameWriter, in order; the time comes from the shared state.
"""

from typing import Protocol

from ..statements.coinbase import COINBASE_SILENCE_CODE, LOGOUT_CLOSE_CODE
from ..statements.connection import (
    FIRST_TEST_REQUEST_LATENESS,
    HEARTBEAT_CLOSE_CODE,
    HEARTBEAT_CLOSE_REASON,
    HEARTBEAT_LATENESS,
    QUIET_SECONDS,
)
from .accounts import IssuedGrant
from .broadcast import Broadcaster, ChannelState
from .dispatch import ConnectionEnded, MalformedRequest, RpcRequest, read_request, run
from .encoding import answer, fragments, heartbeat, refusal, text_frame
from .rpc_errors import RpcError
from .shared_state import SharedState
from .subscriptions import leave_all

__all__ = ["FrameWriter", "WebSocketSession"]

#: How long responses are collected to be sent in reverse order.
REORDER_SECONDS = 0.05


class FrameWriter(Protocol):
    """Where a session's frames go."""

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str = "") -> None: ...


class WebSocketSession:
    """The state of one connection: login, channels, heartbeat."""

    websocket = True

    def __init__(self, state: SharedState, broadcaster: Broadcaster, outlet: FrameWriter, address: str) -> None:
        self.address = address
        self.remembered: IssuedGrant | None = None
        self.heartbeat_seconds = 0.0
        self.channels: dict[str, ChannelState] = {}
        self.first_values: list[ChannelState] = []
        #: Every parsed request, in order; read by tests.
        self.requests: list[RpcRequest] = []
        #: Responses delayed by a fault: when they are due (monotonic seconds), and their frames.
        self._held: list[tuple[float, bytes]] = []
        self._state = state
        self._broadcaster = broadcaster
        self._outlet = outlet
        self._beat_at = 0.0
        self._asked_at: float | None = None
        #: When the client sent its newest message, or the connection began; when the newest notification was sent.
        self._heard_at = self._notified_at = state.monotonic()
        self._unused = True

    def remember(self, grant: IssuedGrant) -> None:
        """Remembers the login of the connection; whether a later one replaces it is not confirmed."""
        alive = self.remembered is not None and self._state.accounts.alive(self.remembered)
        if self._state.switches.adopts_last_login or not alive:
            self.remembered = grant

    def proved_alive(self) -> None:
        """A test_request has been answered."""
        self._asked_at = None

    def receive(self, text: str | bytes) -> None:
        """Answer one frame."""
        state, us_in = self._state, self._state.now_us()
        self._heard_at, self._unused = state.monotonic(), False
        identifier: int | str | None = None
        why: RpcError | None = None
        try:
            request = read_request(text)
            identifier = request.identifier
            result = self._run(request)
        except MalformedRequest as malformed:
            identifier, why = malformed.identifier, malformed
        except RpcError as refused:
            why = refused
        except ConnectionEnded:
            reason = state.door.logout_reason
            self._outlet.close(LOGOUT_CLOSE_CODE.value if reason else state.switches.close_code, reason)
            return
        if why is not None:
            self._refuse(identifier, why, us_in)
        elif request.method not in state.active_faults.unanswered:
            self._answer(answer(identifier, result, us_in, state.now_us(), state.testnet))
        for entry in self.first_values:
            self._broadcaster.send_first_value(entry, self)
        self.first_values.clear()

    @property
    def waiting(self) -> int:
        """The number of delayed responses."""
        return len(self._held)

    def methods(self) -> list[str]:
        """The methods of the requests, in order."""
        return [request.method for request in self.requests]

    def _run(self, request: RpcRequest) -> object:
        self.requests.append(request)
        if self._state.switches.any_traffic_proves_life:
            self.proved_alive()
        result = run(self._state, self._broadcaster, self, request)
        if request.method == "public/set_heartbeat":
            self._beat_at = self._state.monotonic() + self.heartbeat_seconds + FIRST_TEST_REQUEST_LATENESS.value
        return result

    def _refuse(self, identifier: int | str | None, why: RpcError, us_in: int) -> None:
        state = self._state
        if why.code != 10028 or state.switches.says_too_many:
            self._answer(refusal(identifier, why, us_in, state.now_us(), state.testnet))
        if why.ends:
            self._outlet.close(state.switches.close_code)

    def say(self, text: str) -> None:
        """Send one message."""
        self._send(text_frame(text))

    def deliver(self, channel: str, frame: bytes) -> None:
        """Send one notification."""
        active_faults = self._state.active_faults
        if not (active_faults.stalls(channel) or self._state.locks(channel)):
            self._notified_at = self._state.monotonic()
            self._send(frame)
            if active_faults.repeat:
                self._send(frame)

    def _answer(self, text: str) -> None:
        active_faults = self._state.active_faults
        if not (active_faults.delay_seconds or active_faults.reorder or self._held):
            self.say(text)
            return
        wait = active_faults.delay_seconds or REORDER_SECONDS
        self._held.append((self._state.monotonic() + wait, text_frame(text)))

    def _send(self, frame: bytes) -> None:
        if self._state.active_faults.split:
            for part in fragments(frame):
                self._outlet.send(part)
        else:
            self._outlet.send(frame)

    def step(self, now: float) -> None:
        """Sends delayed responses and heartbeats that are due; ``now`` is in monotonic seconds."""
        reorder = self._state.active_faults.reorder
        if reorder and self._held and self._held[0][0] <= now:
            due, self._held = [frame for _, frame in reversed(self._held)], []  # all that were collected
        else:
            due = [frame for at, frame in self._held if at <= now]
            self._held = [held for held in self._held if held[0] > now]
        for frame in due:
            self._send(frame)
        longest = self._state.switches.coinbase_silence_seconds
        if self._state.door.ends_silence and longest and now - self._heard_at >= longest:
            self._outlet.close(COINBASE_SILENCE_CODE.value)
        elif self._unused and now - self._heard_at >= QUIET_SECONDS.value:
            self._outlet.close(0)
        else:
            self._beat(now)

    def _beat(self, now: float) -> None:
        """Sends a test_request each interval, with a heartbeat beside it where nothing else was sent."""
        interval = self.heartbeat_seconds
        if not interval:
            return
        allowed = self._state.switches.test_request_seconds or interval
        if self._asked_at is not None and now >= self._asked_at + allowed:
            self._asked_at = None
            self._outlet.close(HEARTBEAT_CLOSE_CODE.value, HEARTBEAT_CLOSE_REASON.value)
        elif now >= self._beat_at:
            if now - self._notified_at >= interval:
                self.say(heartbeat("heartbeat"))
            self.ask()

    def ask(self) -> None:
        """Sends a test_request; the connection ends when it is not answered."""
        now = self._state.monotonic()
        self._beat_at = now + self.heartbeat_seconds + HEARTBEAT_LATENESS.value
        if self._asked_at is None:
            self._asked_at = now
        self.say(heartbeat("test_request"))

    def closed(self) -> None:
        """Removes the subscriptions and the connection-scoped tokens of a closed connection."""
        leave_all(self, self._broadcaster)
        self._state.accounts.connection_closed(self)
