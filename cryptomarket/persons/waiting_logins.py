"""The leader's line of logins: in the order in which nodes accepted them, at the pace that the exchange allows.

A login that must wait is told its place every few seconds. One that cannot be served within the longest life of its
secret fails at once. The line itself is lost with the leader; the next one loads it from the cache, and nodes repeat
what they have submitted.
"""

import math
import time
from bisect import bisect, insort
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import anyio
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable
from ..model import LoginsWaiting, WaitingLogin
from .leader_requests import LoginRequest
from .login_flow import NO_ANSWER
from .login_secrets import MAX_SECRET_SECONDS, SECRET_SECONDS, LoginSecrets

__all__ = ["RESTARTS", "TOO_MANY", "WaitingLogins"]

#: Logins in progress at once. They use up the pace of the exchange while a call takes less than half a second.
WORKERS = 8
#: Logins a second until a pace was measured: 15 requests, of which one is kept for heartbeats, and two for each login.
FIRST_PACE = 7.0
#: Ends of logins from which the pace is measured, and the least time between them: the first second of a crowd is
#: faster, since no request was sent just before it.
MEASURED, LEAST_MEASURED_SECONDS = 100, 5.0
#: A login takes at most this long once its turn has come; then the exchange did not answer.
LOGIN_SECONDS = 15.0
#: A login that is expected to wait longer is told its place, at once and then at this interval.
TOLD_SECONDS, NOTICE_SECONDS = 5.0, 5.0
#: New logins are told together, after this pause.
GATHER_SECONDS = 0.1
#: A login that is expected to wait longer fails at once.
MAX_WAIT_SECONDS = MAX_SECRET_SECONDS - SECRET_SECONDS
#: Logins whose end is remembered, so that a node that repeats one learns of it.
MAX_ENDED = 10_000
RETRY_SECONDS = 1.0
#: How long a stop waits for the logins in progress: another leader could not repeat them.
FINISH_SECONDS = 2.0
TOO_MANY = "too many log-ins are waiting: try again in two minutes"
RESTARTS = "this server restarts: try again in a minute"


@dataclass(order=True, slots=True)
class _Entry:
    accepted: float
    login_id: str
    request: LoginRequest = field(compare=False)
    told: bool = field(default=False, compare=False)


class WaitingLogins:
    """Serves logins in their order, each by a call of ``log_in``.

    ``refuse`` tells the person of a login why it failed; ``publish`` tells all nodes who waits. With ``lasting`` false
    the logins that wait end with this process.
    """

    def __init__(
        self,
        log_in: Callable[[LoginRequest], Awaitable[None]],
        refuse: Callable[[LoginRequest, str], Awaitable[None]],
        login_secrets: LoginSecrets,
        *,
        publish: Callable[[LoginsWaiting], None],
        lasting: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._log_in = log_in
        self._refuse = refuse
        self._login_secrets = login_secrets
        self._publish = publish
        self._lasting = lasting
        self._monotonic = monotonic
        self._wall = wall
        self._line: list[_Entry] = []
        self._known: set[str] = set()  # in the line or in progress
        self._ended: dict[str, None] = {}
        self._ends: deque[float] = deque(maxlen=MEASURED)
        self._arrived, self._untold, self._idle = anyio.Event(), anyio.Event(), anyio.Event()
        self._finishing = False

    def __len__(self) -> int:
        return len(self._line)

    async def add(self, requests: Sequence[LoginRequest]) -> list[str]:
        """Add logins to the line; return the ids of those that wait or are in progress, the others have ended."""
        for request in requests:
            if request.login_id not in self._known and request.login_id not in self._ended:
                await self._enter(request)
        return [request.login_id for request in requests if request.login_id in self._known]

    async def _enter(self, request: LoginRequest) -> None:
        if self._finishing and not self._lasting:
            await self._end(request, RESTARTS)
            return
        entry = _Entry(min(request.accepted, self._wall()), request.login_id, request)
        seconds = self._seconds(bisect(self._line, entry) + 1)
        if self._age(entry) + seconds > MAX_WAIT_SECONDS:
            await self._end(request, TOO_MANY)
            return
        self._known.add(request.login_id)
        insort(self._line, entry)
        self._arrived.set()
        self._arrived = anyio.Event()
        if seconds > TOLD_SECONDS:
            self._untold.set()

    def _age(self, entry: _Entry) -> float:
        return self._wall() - entry.accepted

    def _seconds(self, place: int) -> float:
        """The seconds until the login at a place of the line is served, as far as the pace is known."""
        waiting = place + len(self._known) - len(self._line)
        measured = self._monotonic() - self._ends[0] if self._ends else 0.0  # to now: a pace of zero shows as well
        return waiting / (len(self._ends) / measured if measured >= LEAST_MEASURED_SECONDS else FIRST_PACE)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve the line until cancelled, beginning with what an earlier leader left."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._load)
            tasks.start_soon(self._tell_places)
            for _ in range(WORKERS):
                tasks.start_soon(self._work)
            task_status.started()

    async def finish(self) -> None:
        """Begin no more logins and wait for those in progress; bounded in time."""
        self._finishing = True
        with anyio.move_on_after(FINISH_SECONDS):
            while len(self._known) > len(self._line):
                self._idle = anyio.Event()
                await self._idle.wait()
        if not self._lasting:
            waiting, self._line = self._line, []
            for entry in waiting:
                await self._end(entry.request, RESTARTS)

    async def _load(self) -> None:
        while True:
            try:
                async for request in self._login_secrets.requests():
                    await self.add([request])
            except CacheUnavailable:
                await anyio.sleep(RETRY_SECONDS)
            else:
                return

    async def _work(self) -> None:
        while True:
            while self._line and not self._finishing:
                request = self._line.pop(0).request
                with anyio.move_on_after(LOGIN_SECONDS) as scope:
                    await self._log_in(request)
                await self._end(request, NO_ANSWER if scope.cancelled_caught else "")
                if self._line:
                    self._ends.append(self._monotonic())
                else:
                    self._ends.clear()  # later ends would be those of another crowd
            await self._arrived.wait()

    async def _end(self, request: LoginRequest, reason: str) -> None:
        """Delete what is stored of a login that ended; with a reason tell that it failed."""
        if reason:
            await self._refuse(request, reason)
        self._known.discard(request.login_id)
        self._ended[request.login_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._idle.set()
        await self._login_secrets.discard(request.login_id)

    async def _tell_places(self) -> None:
        while True:
            with anyio.move_on_after(NOTICE_SECONDS):
                while True:
                    await self._untold.wait()
                    await anyio.sleep(GATHER_SECONDS)
                    self._untold = anyio.Event()
                    self._tell([place for place in self._places() if not place[0].told])
            await self._refuse_late()
            self._tell(self._places())

    def _places(self) -> list[tuple[_Entry, int, float]]:
        return [(entry, place, self._seconds(place)) for place, entry in enumerate(self._line, 1)]

    def _tell(self, places: list[tuple[_Entry, int, float]]) -> None:
        waiting = []
        for entry, place, seconds in places:
            age = self._age(entry)
            if entry.told or age + seconds > TOLD_SECONDS:
                entry.told = True
                life = min(SECRET_SECONDS, MAX_SECRET_SECONDS - age)
                waiting.append(WaitingLogin(entry.login_id, entry.request.session, place, math.ceil(seconds), life))
        if waiting:
            self._publish(LoginsWaiting(tuple(waiting)))

    async def _refuse_late(self) -> None:
        """Refuse logins whose turn would come after the end of their secret: the exchange became slower."""
        places = self._places()
        late = [entry.request for entry, _, seconds in places if self._age(entry) + seconds > MAX_SECRET_SECONDS]
        ids = {request.login_id for request in late}
        self._line = [entry for entry in self._line if entry.login_id not in ids]
        for request in late:
            await self._end(request, TOO_MANY)
