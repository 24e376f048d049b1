"""The leader's line of logins: addresses take turns, at the pace that the exchange allows.

`FairLine` decides the order. A login that must wait is told its place every few seconds. One that cannot be served
within the longest life of its secret is refused at once. The line itself is lost with the leader; the next one loads it
from the cache, and nodes repeat what they have submitted.
"""

import contextlib
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from ..addresses import address_groups
from ..errors import CacheUnavailable
from ..model import LoginsWaiting, WaitingLogin
from .fair_line import FairLine
from .leader_requests import LeaderReply, LoginRequest, Place
from .login_flow import GONE, NO_ANSWER
from .login_secrets import MAX_SECRET_SECONDS, SECRET_SECONDS, LoginSecrets

__all__ = ["RESTARTS", "TOO_MANY", "WaitingLogins"]

#: Logins in progress at once. While a call takes less than half a second, the pace of the exchange is the only limit.
WORKERS = 8
#: Logins a second until a pace is measured. The exchange allows 15 requests a second; one is kept for heartbeats, and
#: a login takes two.
FIRST_PACE = 7.0
#: The pace is measured from so many of the latest ends of logins, once the first of them is so many seconds ago. A
#: shorter time misleads: the first second of a crowd is faster, since no request was sent just before it, and the next
#: seconds are slower, since the crowd still arrives.
MEASURED, LEAST_MEASURED_SECONDS = 300, 15.0
#: A login takes at most this long once its turn has come; then the exchange did not answer.
LOGIN_SECONDS = 15.0
#: A login that is expected to wait longer is told its place, at once and then at this interval.
TOLD_SECONDS, NOTICE_SECONDS = 5.0, 5.0
#: New logins are told together, after this pause.
GATHER_SECONDS = 0.1
#: A login that is expected to wait longer is refused at once.
MAX_WAIT_SECONDS = MAX_SECRET_SECONDS - SECRET_SECONDS
#: The most logins that wait, and the most of them from addresses with recent failures. If all are wrong, the exchange
#: answers them in about `MAX_WAIT_SECONDS`.
MOST_WAITING, MOST_FAILING = 1_500, 200
#: Logins whose end is remembered, so that a node that repeats one learns of it.
MAX_ENDED = 10_000
RETRY_SECONDS = 1.0
#: How long a stop waits for the logins in progress: another leader could not repeat them.
FINISH_SECONDS = 2.0
TOO_MANY = "too many log-ins are waiting: try again in two minutes"
RESTARTS = "this server restarts: try again in a minute"


@dataclass(slots=True)
class _Entry:
    request: LoginRequest
    accepted: float
    told: bool = False


class WaitingLogins:
    """Serves logins in their order, each by a call of ``log_in``, which returns whether the exchange was asked.

    ``refuse`` tells the person of a login why it failed; ``failures`` returns the number of recent failures of each
    group of addresses; ``publish`` tells all nodes who waits. One address has at most ``most_per_address`` places. With
    ``lasting`` false the logins that wait end with this process.
    """

    def __init__(
        self,
        log_in: Callable[[LoginRequest], Awaitable[bool]],
        refuse: Callable[[LoginRequest, str], Awaitable[None]],
        login_secrets: LoginSecrets,
        *,
        failures: Callable[[Iterable[str]], Awaitable[Mapping[str, int]]],
        publish: Callable[[LoginsWaiting], None],
        most_per_address: int,
        lasting: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._log_in = log_in
        self._refuse = refuse
        self._login_secrets = login_secrets
        self._failures = failures
        self._publish = publish
        self._lasting = lasting
        self._monotonic = monotonic
        self._wall = wall
        self._line = FairLine(most=MOST_WAITING, most_per_address=most_per_address, most_failing=MOST_FAILING)
        self._waiting: dict[str, _Entry] = {}
        self._in_progress: set[str] = set()
        self._ended: dict[str, None] = {}
        #: Logins that were sent to the exchange; their addresses may have more failures now.
        self._asked: list[LoginRequest] = []
        #: Logins without a place that are to be ended, each with its reason.
        self._lost: deque[tuple[LoginRequest, str]] = deque()
        self._ends: deque[float] = deque(maxlen=MEASURED)
        self._arrived, self._untold, self._idle = anyio.Event(), anyio.Event(), anyio.Event()
        self._finishing = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def add(self, requests: Sequence[LoginRequest]) -> LeaderReply:
        """Add logins to the line; reply which of them wait or are in progress, and which were refused."""
        failures = await self._recent_failures(requests)
        lost = [one for request in requests if self._is_new(request) for one in self._enter(request, failures)]
        if self._finishing and not self._lasting:
            await self._end_waiting()
        named = dict.fromkeys(request.login_id for request in requests)
        waiting = {one: self._told_place(one) for one in named if one in self._waiting or one in self._in_progress}
        for request in lost:  # the node that submitted a login tells its person that it was refused
            self._lost.append((request, "" if request.login_id in named else TOO_MANY))
        self._wake()
        return LeaderReply(waiting=waiting, refused=[one.login_id for one in lost if one.login_id in named])

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = anyio.Event()

    def _is_new(self, request: LoginRequest) -> bool:
        login_id = request.login_id
        return login_id not in self._waiting and login_id not in self._in_progress and login_id not in self._ended

    async def _recent_failures(self, requests: Sequence[LoginRequest]) -> Mapping[str, int]:
        groups = {group for request in requests for group in address_groups(request.address)}
        with contextlib.suppress(CacheUnavailable):  # then all are served as if there were none
            return await self._failures(groups)
        return {}

    def _enter(self, request: LoginRequest, failures: Mapping[str, int]) -> list[LoginRequest]:
        """Give the login its place; return the logins that lose theirs for it, which may be itself."""
        entry = _Entry(request, min(request.accepted, self._wall()))
        self._waiting[request.login_id] = entry
        groups = address_groups(request.address)
        lost = self._line.add(request.login_id, entry.accepted, groups, failures)
        if request.login_id not in lost:
            seconds = self._seconds(self._line.place(request.login_id))
            if self._age(entry) + seconds > MAX_WAIT_SECONDS:
                lost.append(request.login_id)
            elif seconds > TOLD_SECONDS:
                self._untold.set()
        return [self._take_out(login_id) for login_id in lost]

    def _take_out(self, login_id: str) -> LoginRequest:
        """Remove a waiting login that is not served, and return its request; it cannot be added again."""
        if login_id in self._line:
            self._line.remove(login_id)
        self._remember_end(login_id)
        return self._waiting.pop(login_id).request

    def _remember_end(self, login_id: str) -> None:
        self._ended[login_id] = None
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def _told_place(self, login_id: str) -> Place | None:
        """The place of a login that is expected to wait longer than `TOLD_SECONDS`, otherwise None."""
        if login_id in self._in_progress:
            return None
        place = self._line.place(login_id)
        seconds = self._seconds(place)
        return Place(place, math.ceil(seconds)) if seconds > TOLD_SECONDS else None

    def _age(self, entry: _Entry) -> float:
        return self._wall() - entry.accepted

    def _seconds(self, place: int) -> float:
        """The seconds until the login at a place of the line is served, as far as the pace is known."""
        waiting = place + len(self._in_progress)
        measured = self._monotonic() - self._ends[0] if self._ends else 0.0  # to now: a pace of zero shows as well
        return waiting / (len(self._ends) / measured if measured >= LEAST_MEASURED_SECONDS else FIRST_PACE)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve the line until cancelled, beginning with what an earlier leader left."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._load)
            tasks.start_soon(self._tell_places)
            tasks.start_soon(self._end_lost)
            tasks.start_soon(self._end_expired)
            tasks.start_soon(self._charge)
            for _ in range(WORKERS):
                tasks.start_soon(self._work)
            task_status.started()

    async def finish(self) -> None:
        """Begin no more logins and wait for those in progress; bounded in time."""
        self._finishing = True
        with anyio.move_on_after(FINISH_SECONDS):
            while self._in_progress:
                self._idle = anyio.Event()
                await self._idle.wait()
        if not self._lasting:
            await self._end_waiting()

    async def _end_waiting(self) -> None:
        """End all that wait: nobody will serve them."""
        for request in [self._take_out(login_id) for login_id in list(self._waiting)]:
            await self._end(request, RESTARTS)

    async def _load(self) -> None:
        while True:
            try:
                async for request in self._login_secrets.requests():
                    if self._is_new(request):
                        reply = await self.add([request])
                        if reply.refused:
                            await self._end(request, TOO_MANY)
            except CacheUnavailable:
                await anyio.sleep(RETRY_SECONDS)
            else:
                return

    async def _work(self) -> None:
        while True:
            while self._waiting and not self._finishing:
                login_id, failing = self._line.pop()
                request, asked = self._waiting.pop(login_id).request, True
                self._in_progress.add(login_id)
                with anyio.move_on_after(LOGIN_SECONDS) as scope:
                    asked = await self._log_in(request)
                await self._end(request, NO_ANSWER if scope.cancelled_caught else "")
                if not asked:
                    self._line.refund(failing)
                elif self._waiting:
                    self._ends.append(self._monotonic())
                    self._asked.append(request)
                    self._wake()
                if not self._waiting:
                    self._ends.clear()  # later ends would be those of another crowd
            await self._arrived.wait()

    async def _end_lost(self) -> None:
        """End logins that lost their place, in the background: a node that submits logins does not wait for it."""
        while True:
            while self._lost:
                await self._end(*self._lost.popleft())
            await self._arrived.wait()

    async def _end(self, request: LoginRequest, reason: str) -> None:
        """Delete what is stored of a login that ended; with a reason tell that it failed."""
        if reason:
            await self._refuse(request, reason)
        self._in_progress.discard(request.login_id)
        self._remember_end(request.login_id)
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
            self._refuse_late()
            self._tell(self._places())

    def _places(self) -> list[tuple[_Entry, int, float]]:
        return [(self._waiting[login_id], place, self._seconds(place)) for login_id, place in self._line.places()]

    def _tell(self, places: list[tuple[_Entry, int, float]]) -> None:
        waiting = []
        for entry, place, seconds in places:
            age = self._age(entry)
            if entry.told or age + seconds > TOLD_SECONDS:
                entry.told = True
                life, request = min(SECRET_SECONDS, MAX_SECRET_SECONDS - age), entry.request
                waiting.append(WaitingLogin(request.login_id, request.session, place, math.ceil(seconds), life))
        if waiting:
            self._publish(LoginsWaiting(tuple(waiting)))

    async def _end_expired(self) -> None:
        """End logins whose secret expired because no stream of theirs is open, so that others get their places."""
        while True:
            await anyio.sleep(NOTICE_SECONDS)
            old = [login_id for login_id, entry in self._waiting.items() if self._age(entry) > SECRET_SECONDS]
            with contextlib.suppress(CacheUnavailable):  # tried again after the next pause
                expired = await self._login_secrets.expired(old)
                self._lost += [(self._take_out(one), GONE) for one in expired if one in self._waiting]
                self._wake()

    async def _charge(self) -> None:
        """Move the waiting logins of addresses that failed, in the background: no login waits for the cache."""
        while True:
            requests, self._asked = self._asked, []
            if requests:
                self._line.charge(await self._recent_failures(requests))
            if not self._asked:
                await self._arrived.wait()

    def _refuse_late(self) -> None:
        """Refuse logins whose secret would expire before their turn, because the line became slower."""
        places = self._places()
        late = [entry for entry, _, seconds in places if self._age(entry) + seconds > MAX_SECRET_SECONDS]
        self._lost += [(self._take_out(entry.request.login_id), TOO_MANY) for entry in late]
        self._wake()
