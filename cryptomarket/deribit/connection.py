"""One connection's life with its socket: a reader, a sender that keeps to the budget, and a look at the clock.

What to say and what it means is the session's business; this file only moves texts and waits.
"""

from collections.abc import Awaitable, Callable
from heapq import heappop, heappush

import anyio

from ..errors import ExchangeUnreachable
from .calls import Calls
from .connection_failures import EXPECTED
from .effects import Effect, Outgoing
from .protocol import ConnectionState, ErrorReply, Expired, Lost, Purpose, Result
from .rate_limit import Group, Priority, group_of
from .session import ExchangeSession
from .transport import Socket

__all__ = ["Connection"]


class Connection:
    """Runs a session over a socket until it ends; every end is an error of `connection_failures.EXPECTED`."""

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

    def poke(self) -> None:
        """Something may have become due: look now."""
        self._wake.set()

    async def run(self) -> None:
        """Greet, log in, subscribe, stream; raises the error that ended it."""
        self._session.start()
        try:
            async with anyio.create_task_group() as tasks:
                for part in (self._read, self._send, self._look):
                    tasks.start_soon(self._until_failure, part, tasks.cancel_scope)
        finally:
            self._handle(self._session.close())
            self._calls.lost()
        raise self._failure or ExchangeUnreachable("the connection ended")

    async def _until_failure(self, part: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        """Keep expected failures out of exception groups; the first one ends all parts and is the reason."""
        try:
            await part()
        except EXPECTED as exc:
            self._failure = self._failure or exc
            scope.cancel()

    async def _read(self) -> None:
        while True:
            outputs = self._session.receive(await self._socket.recv())
            for reply in self._session.replies():
                # What the exchange demands goes ahead of any queue, on credit if need be.
                self._session.budget.take(Group.NON_MATCHING, self._monotonic())
                await self._socket.send(reply)
            self._handle(outputs)
            if self._queue or self._session.wishful:  # not for every price: waking the sender costs more than reading
                self._wake.set()
            if self._session.doom:
                raise self._session.doom

    async def _look(self) -> None:
        while True:
            await anyio.sleep(self._session.patience.look)
            self._handle(self._session.look())
            self._wake.set()

    def _handle(self, outputs: list[Effect]) -> None:
        for output in outputs:
            if isinstance(output, Result | ErrorReply | Expired | Lost):
                self._calls.settle(output)
        self._deliver(outputs)

    async def _send(self) -> None:
        while True:
            self._wake = anyio.Event()
            self._collect()
            pause = self._pause()
            if pause > 0:
                with anyio.move_on_after(pause):
                    await self._wake.wait()
                continue
            wish = heappop(self._queue)
            if wish.purpose is Purpose.CALL and not self._calls.sending(wish):
                continue  # whoever asked has left
            asked = self._session.ask(wish)
            if asked is None:
                continue
            request, text = asked
            self._session.budget.take(group_of(wish.method), self._monotonic())
            if wish.purpose is Purpose.CALL:
                self._calls.sent(wish, request.id)
            await self._socket.send(text)

    def _collect(self) -> None:
        for wish in self._session.wishes():
            heappush(self._queue, wish)
        if self._session.protocol.state in (ConnectionState.SUBSCRIBING, ConnectionState.STREAMING):
            for wish in self._calls.wishes():
                heappush(self._queue, wish)

    def _pause(self) -> float:
        """Seconds until the first of the queue may be sent."""
        if not self._queue:
            return 3600.0
        first, budget = self._queue[0], self._session.budget
        urgent = first.priority is Priority.HEARTBEAT
        if not urgent and self._session.protocol.in_flight >= budget.concurrent:
            return 1.0
        return budget.wait(group_of(first.method), self._monotonic(), urgent=urgent)
