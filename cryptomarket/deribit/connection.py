"""One connection with its socket: a reader, a sender within the budget, and a timer.

It moves texts and waits; the session decides what to send and what a message means.
"""

from collections.abc import Awaitable, Callable
from heapq import heappop, heappush

import anyio

from ..errors import ExchangeUnreachable
from .calls import Calls
from .connection_failures import EXPECTED
from .effects import Effect, Outgoing
from .protocol import ErrorReply, Expired, Lost, Purpose, Result
from .rate_limit import Group, Priority, group_of
from .session import ExchangeSession
from .transport import Socket

__all__ = ["Connection"]

#: The sender sleeps so long when nothing is queued; `wake` ends the sleep.
IDLE_SECONDS = 3600.0
#: How soon it looks again when too many requests wait for their answers.
CROWDED_SECONDS = 1.0
#: Requests of each second that log-ins leave to others while a request over HTTP waits, which itself leaves fewer: a
#: crowd of log-ins slows down the history, but does not stop it.
LEFT_TO_HTTP = 6


class Connection:
    """Runs a session over a socket until it ends; ``deliver`` receives its effects."""

    def __init__(
        self,
        socket: Socket,
        session: ExchangeSession,
        calls: Calls,
        *,
        deliver: Callable[[list[Effect]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._socket = socket
        self._session = session
        self._calls = calls
        self._deliver = deliver
        self._monotonic = monotonic
        self._queue: list[Outgoing] = []
        self._wake = anyio.Event()
        self._failure: Exception | None = None

    def wake(self) -> None:
        """Let the sender look for requests that are due now."""
        self._wake.set()

    async def run(self) -> None:
        """Greet, log in, subscribe, stream.

        Raises the error of `connection_failures.EXPECTED` that ended the connection; any other error is a bug.
        """
        self._session.start()
        try:
            async with anyio.create_task_group() as tasks:
                for loop in (self._read, self._send, self._check_timers):
                    tasks.start_soon(self._until_failure, loop, tasks.cancel_scope)
        finally:
            self._handle(self._session.close())
            self._calls.connection_lost()
        raise self._failure or ExchangeUnreachable("the connection ended")

    async def _until_failure(self, loop: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Keep expected failures out of exception groups: the first one ends all loops and is the reason."""
        try:
            await loop()
        except EXPECTED as exc:
            self._failure = self._failure or exc
            scope.cancel()

    async def _read(self) -> None:
        while True:
            effects = self._session.receive(await self._socket.recv())
            for reply in self._session.replies():
                # The reply to a test_request overtakes the queue, and the budget goes into debt for it if need be.
                self._session.budget.take(Group.NON_MATCHING, self._monotonic())
                await self._socket.send(reply)
            self._handle(effects)
            if self._queue or self._session.has_outgoing:  # not for every price: waking costs more than reading
                self._wake.set()
            if self._session.terminated_by:
                raise self._session.terminated_by

    async def _check_timers(self) -> None:
        while True:
            await anyio.sleep(self._session.timeouts.check)
            self._handle(self._session.check_timers())
            self._wake.set()

    def _handle(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Result | ErrorReply | Expired | Lost):
                self._calls.settle(effect)
        self._deliver(effects)

    async def _send(self) -> None:
        while True:
            self._wake = anyio.Event()
            self._collect()
            pause = self._pause()
            if pause > 0:
                with anyio.move_on_after(pause):
                    await self._wake.wait()
                continue
            outgoing = heappop(self._queue)
            if outgoing.purpose is Purpose.CALL and not self._calls.awaited(outgoing):
                continue
            request_and_text = self._session.request_for(outgoing)
            if request_and_text is None:
                continue
            request, text = request_and_text
            self._session.budget.take(group_of(outgoing.method), self._monotonic())
            if outgoing.purpose is Purpose.CALL:
                self._calls.sent(outgoing, request.id)
            await self._socket.send(text)

    def _collect(self) -> None:
        calls = self._calls.outgoing() if self._session.ready else []
        for outgoing in (*self._session.outgoing(), *calls):
            heappush(self._queue, outgoing)

    def _pause(self) -> float:
        """Seconds until the first request of the queue may be sent."""
        if not self._queue:
            return IDLE_SECONDS
        first, budget = self._queue[0], self._session.budget
        urgent = first.priority is Priority.HEARTBEAT
        if not urgent and self._session.protocol.in_flight >= budget.concurrent:
            return CROWDED_SECONDS
        spared = LEFT_TO_HTTP if first.priority >= Priority.NEWCOMER and budget.http_waiting else 0
        return budget.wait(group_of(first.method), self._monotonic(), urgent=urgent, spared=spared)
