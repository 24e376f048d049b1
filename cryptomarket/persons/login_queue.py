"""Sends logins that this node accepted to the leader, in the background of the requests that brought them."""

from collections.abc import Callable

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable, NoLeader, RequestRefused
from .leader_requests import LoginRequest, RequestLeader
from .login_secrets import SECRET_SECONDS
from .notifications import LoginFailures

__all__ = ["LoginQueue"]

log = structlog.get_logger(__name__)

#: A flood of logins must not fill the node's memory.
MAX_QUEUED = 1_000
UNANSWERED = "nobody could take the log-in in time: try again"


class LoginQueue:
    """Logins on their way to the leader; ``has_leader`` returns whether a node leads now."""

    def __init__(
        self, request_leader: RequestLeader, failures: LoginFailures, *, has_leader: Callable[[], bool] = lambda: True
    ) -> None:
        self._request_leader = request_leader
        self._failures = failures
        self._has_leader = has_leader
        self._send, self._receive = anyio.create_memory_object_stream[LoginRequest](MAX_QUEUED)

    def submit(self, request: LoginRequest) -> None:
        """Queue a login; its outcome is published to its browser session.

        Raises NoLeader while no node leads, RequestRefused when the queue is full; the stored secret then expires.
        """
        if not self._has_leader():
            raise NoLeader("no node leads now")
        try:
            self._send.send_nowait(request)
        except anyio.WouldBlock:
            raise RequestRefused(503, "fewer log-ins at once", retry_after=SECRET_SECONDS) from None

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Send queued logins until cancelled."""
        async with anyio.create_task_group() as tasks:
            task_status.started()
            while True:
                tasks.start_soon(self._deliver, await self._receive.receive())

    async def _deliver(self, request: LoginRequest) -> None:
        try:
            await self._request_leader(msgspec.json.encode(request), seconds=SECRET_SECONDS)
        except (NoLeader, CacheUnavailable) as exc:
            log.warning("login not delivered to a leader", reason=str(exc))
            await self._failures.notify(request.session, UNANSWERED)

    def close(self) -> None:
        """Discard queued logins; for a queue that is not running."""
        self._send.close()
        self._receive.close()
