"""Sends logins that this node accepted to the leader, and repeats them until each has ended."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable, NoLeader, RequestRefused
from ..model import Message, SessionChanged
from .browser_sessions import PERSON_CHANGED
from .leader_requests import LeaderReply, LoginRequest, LoginsRequest, Place, RequestLeader
from .login_secrets import MAX_SECRET_SECONDS, SECRET_SECONDS, LoginSecrets
from .notifications import LOGIN_FAILED, LoginFailures
from .person import KEY_DOOR
from .waiting_logins import TOO_MANY

__all__ = ["LoginQueue"]

log = structlog.get_logger(__name__)

#: A flood of logins must not fill the node's memory.
MAX_QUEUED = 2_000
#: Logins in one request to the leader.
BATCH = 500
#: The interval between repetitions, so that a new leader learns of the logins; after a failure it is shorter.
REPEAT_SECONDS, RETRY_SECONDS = 5.0, 1.0
#: How long the leader may take for a reply, and how long a login may be without one before it fails.
REPLY_SECONDS, UNANSWERED_SECONDS = 5.0, float(SECRET_SECONDS)
#: How long the answer to a POST waits for the leader's reply, which says whether the login must wait.
ANSWER_SECONDS = 1.0
UNANSWERED = "nobody could take the log-in in time: try again"


@dataclass(slots=True)
class _Answer:
    """What the leader replied to a login whose browser waits for the answer to its POST."""

    arrived: anyio.Event = field(default_factory=anyio.Event)
    place: Place | None = None
    refused: bool = False


def _overloaded() -> RequestRefused:
    return RequestRefused(
        503,
        "fewer log-ins at once: try again in two minutes",
        retry_after=MAX_SECRET_SECONDS,
        reason="login_overloaded",
    )


class LoginQueue:
    """Logins of this node that have not ended; ``has_leader`` returns whether a node leads now."""

    def __init__(
        self,
        request_leader: RequestLeader,
        login_secrets: LoginSecrets,
        failures: LoginFailures,
        *,
        has_leader: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._request_leader = request_leader
        self._login_secrets = login_secrets
        self._failures = failures
        self._has_leader = has_leader
        self._monotonic = monotonic
        self._wall = wall
        self._new: dict[str, LoginRequest] = {}
        self._sent: dict[str, LoginRequest] = {}
        #: By login id, when the leader replied last; at first when the login was submitted.
        self._replied: dict[str, float] = {}
        self._answers: dict[str, _Answer] = {}
        self._submitted = anyio.Event()

    async def submit(
        self, login_id: str, session: str, *, client: str, address: str, browser: str = "", door: str = KEY_DOOR
    ) -> Place | None:
        """Queue a login; its outcome is published to its browser session.

        Returns the place if the login must wait for long, as far as the leader says so at once. Raises NoLeader while
        no node leads, RequestRefused when there is no place, and CacheUnavailable; the stored secret then expires.
        """
        if not self._has_leader():
            raise NoLeader("no node leads now")
        if len(self._replied) >= MAX_QUEUED:
            raise _overloaded()
        request = LoginRequest(login_id, session, client, address, self._wall(), browser, door)
        await self._login_secrets.put_request(request)
        answer = self._answers[login_id] = _Answer()
        self._new[login_id] = request
        self._replied[login_id] = self._monotonic()
        self._submitted.set()
        try:
            with anyio.move_on_after(ANSWER_SECONDS):
                await answer.arrived.wait()
        finally:
            del self._answers[login_id]
        if answer.refused:
            raise _overloaded()
        return answer.place

    def on_message(self, message: Message) -> None:
        """Repeat no login whose outcome reached this node."""
        if isinstance(message, SessionChanged) and message.kind in (PERSON_CHANGED, LOGIN_FAILED):
            sessions = set(message.sessions)
            for request in [request for request in self._sent.values() if request.session in sessions]:
                self._drop(request)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send new logins at once, and all others again and again, until cancelled."""
        task_status.started()
        repeat_at = self._monotonic() + REPEAT_SECONDS
        while True:
            with anyio.move_on_after(max(0.0, repeat_at - self._monotonic()) if self._replied else None):
                await self._submitted.wait()
            self._submitted = anyio.Event()
            new, self._new = self._new, {}
            due = self._monotonic() >= repeat_at
            again = list(self._sent.values()) if due else []
            self._sent |= new
            replied = [await self._send(part) for part in _parts([*again, *new.values()])]
            if due or not all(replied):
                repeat_at = self._monotonic() + (REPEAT_SECONDS if all(replied) else RETRY_SECONDS)

    async def _send(self, requests: Sequence[LoginRequest]) -> bool:
        """Send logins and drop those that have ended, or that were too long without a reply; whether one came."""
        oldest = min(self._replied.get(request.login_id, math.inf) for request in requests)
        seconds = min(REPLY_SECONDS, max(0.1, oldest + UNANSWERED_SECONDS - self._monotonic()))
        try:
            body = msgspec.json.encode(LoginsRequest(list(requests)))
            reply = msgspec.json.decode(await self._request_leader(body, seconds=seconds), type=LeaderReply)
            if reply.failed:
                raise NoLeader(reply.failed)
        except (NoLeader, CacheUnavailable, msgspec.DecodeError) as exc:  # a leader of another version
            await self._fail_unanswered(requests, str(exc))
            return False
        now = self._monotonic()
        for request in requests:
            if request.login_id in reply.waiting and request.login_id in self._sent:
                self._replied[request.login_id] = now
            else:
                self._drop(request)
            if answer := self._answers.get(request.login_id):
                answer.place = reply.waiting.get(request.login_id)
                answer.refused = request.login_id in reply.refused
                answer.arrived.set()
            elif request.login_id in reply.refused:
                await self._failures.notify(request.session, TOO_MANY)
        return True

    async def _fail_unanswered(self, requests: Sequence[LoginRequest], reason: str) -> None:
        for request in requests:
            replied = self._replied.get(request.login_id, math.inf)
            if self._monotonic() - replied >= UNANSWERED_SECONDS:
                log.warning("login not delivered to a leader", reason=reason)
                self._drop(request)
                await self._login_secrets.discard(request.login_id)
                await self._failures.notify(request.session, UNANSWERED)

    def _drop(self, request: LoginRequest) -> None:
        self._sent.pop(request.login_id, None)
        self._replied.pop(request.login_id, None)


def _parts(requests: list[LoginRequest]) -> list[list[LoginRequest]]:
    return [requests[start : start + BATCH] for start in range(0, len(requests), BATCH)]
