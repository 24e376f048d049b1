"""Ends at the login server what a person had granted, once the login is over; every node does it for its own log-outs.

Nothing waits for it: the login ends here at once, and what could not be revoked expires within an hour.
"""

from collections import deque

import anyio
import structlog
from anyio.abc import TaskStatus

from ..errors import ExchangeError
from .coinbase_door import LoginServer
from .person import Person

__all__ = ["Revocations"]

log = structlog.get_logger(__name__)

#: Logins that wait for their revocation; the oldest make room.
MOST_WAITING = 1_000
TRIES, RETRY_SECONDS = 3, 5.0


class Revocations:
    """Revokes the OAuth tokens of persons whose login ended; other persons have nothing that can be revoked."""

    def __init__(self, login_server: LoginServer | None = None, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self._login_server = login_server
        self._retry_seconds = retry_seconds
        #: Person ids with their access tokens.
        self._ended: deque[tuple[str, str]] = deque(maxlen=MOST_WAITING)
        self._arrived = anyio.Event()

    def add(self, person: Person) -> None:
        """Revoke what the person had granted, soon."""
        if self._login_server is not None and person.tokens.oauth is not None:
            self._ended.append((person.person_id, person.tokens.oauth.access))
            self._arrived.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Revoke until cancelled."""
        task_status.started()
        while True:
            while self._ended and self._login_server is not None:
                await self._revoke(self._login_server, *self._ended.popleft())
            await self._arrived.wait()
            self._arrived = anyio.Event()

    async def _revoke(self, login_server: LoginServer, person_id: str, access_token: str) -> None:
        reason = ""
        for left in reversed(range(TRIES)):
            try:
                await login_server.revoke(access_token)
                return
            except ExchangeError as exc:
                reason = str(exc)
            if left:
                await anyio.sleep(self._retry_seconds)
        log.warning("grant at the login server not revoked", person=person_id, reason=reason)
