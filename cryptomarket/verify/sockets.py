"""One WebSocket of a check: it asks, waits, and keeps everything that came in its order."""

import json
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed

from ..deribit.rate_limit import group_of
from ..deribit.transport import Socket
from ..errors import ExchangeUnreachable
from .allowed import check_allowed
from .budget import Budget
from .clock import Clock
from .messages import Message
from .recording import MessageRecorder

__all__ = ["ANSWER_SECONDS", "CheckSocket"]

#: How long an answer may take.
ANSWER_SECONDS = 10.0


class CheckSocket:
    """A connection. Every wait ends after a time. ``closed`` has the code (1006: none) and the reason of its end."""

    def __init__(self, socket: Socket, clock: Clock, budget: Budget, recorder: MessageRecorder, *, place: str) -> None:
        self.received: list[Message] = []
        self.closed: tuple[int, str] | None = None
        self.opened_at = clock.now()
        #: Whether test_requests are answered.
        self.answers_tests = True
        #: Whether a log-in succeeded on it.
        self.logged_in = False
        #: Whether all messages are kept; a long recording keeps none.
        self.keeps = True
        self._socket = socket
        self._clock = clock
        self._budget = budget
        self._recorder = recorder
        self._place = place
        self._number = 0
        self._asked: dict[int, str] = {}
        self._last_method = ""

    async def send(self, text: str, method: str = "") -> None:
        """Send a frame as it is, after its turn in the budget; ``method`` is the one it asks for.

        Raises ExchangeUnreachable when the connection is closed.
        """
        await self.turn(method)
        await self.send_at_once(text, method)

    async def turn(self, method: str) -> None:
        """Wait until a request of the method may be sent, and count it."""
        await self._budget.turn(group_of(method))

    async def send_at_once(self, text: str, method: str = "") -> None:
        """Send a frame without waiting for its turn."""
        check_allowed(text)
        self._last_method = method
        self._recorder.sent(text, host=self._place, method=method)
        try:
            await self._socket.send(text)
        except (ConnectionClosed, OSError) as exc:
            self._ended(exc)
            raise ExchangeUnreachable(self.ending) from exc

    async def ask(self, method: str, /, **params: Any) -> int:
        """Send a request; returns its id."""
        self._number += 1
        self._asked[self._number] = method
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        await self.send(json.dumps(request), method)
        return self._number

    async def call(self, method: str, /, **params: Any) -> Message:
        """The answer to a request. Raises ExchangeUnreachable when none comes."""
        number = await self.ask(method, **params)
        answer = await self.until(
            lambda message: message.answers and message.get("id") == number, ANSWER_SECONDS * self._clock.scale
        )
        if answer is None:
            raise ExchangeUnreachable(f"no answer to {method}" + (f": {self.ending}" if self.closed else ""))
        return answer

    async def until(self, fits: Callable[[Message], bool], seconds: float) -> Message | None:
        """The next message that fits; None when the time passes or the connection ends before."""
        end = self._clock.now() + seconds
        while (left := end - self._clock.now()) > 0 and self.closed is None:
            message = await self._next(left)
            if message is not None and fits(message):
                return message
        return None

    async def listen(self, seconds: float) -> list[Message]:
        """What comes within the seconds; less when the connection ends."""
        start = len(self.received)
        await self.until(lambda _: False, seconds)
        return self.received[start:]

    async def _next(self, seconds: float) -> Message | None:
        message: Message | None = None
        with self._clock.within(seconds):
            try:
                message = Message.read(self._clock.now(), await self._socket.recv())
            except (ConnectionClosed, OSError) as exc:
                self._ended(exc)
        if message is None:
            return None
        # An answer without a readable id may be that of the last request.
        number = message.get("id")
        method = self._asked.pop(number, self._last_method) if isinstance(number, int) else self._last_method
        self._recorder.received(message, host=self._place, method=method if message.answers else "")
        if self.keeps:
            self.received.append(message)
        if message.heartbeat == "test_request" and self.answers_tests:
            await self.ask("public/test")
        return message

    def _ended(self, exc: Exception) -> None:
        frame = exc.rcvd if isinstance(exc, ConnectionClosed) else None
        self.closed = (1006, "") if frame is None else (frame.code, frame.reason)

    @property
    def ending(self) -> str:
        """How the connection ended, as a sentence."""
        code, reason = self.closed or (0, "")
        return f"the connection was closed with {code} {reason}".rstrip()
