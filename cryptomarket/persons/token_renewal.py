"""Renews the tokens of persons who are still here, and ends logins that the exchange ended. Runs on the leader."""

import time
from collections.abc import Callable

import anyio
import msgspec
import structlog
from anyio.abc import TaskStatus

from ..deribit.auth import READ_ONLY_SCOPE, Grant, excess_rights
from ..errors import CacheUnavailable, ExchangeError, InternalError
from ..model import SessionChanged
from .browser_sessions import BrowserSessions, Person, Tokens
from .login_flow import Call, login_ended, person_scope
from .notifications import LOGGED_OUT, PERSON_CHANGED

__all__ = ["TokenRenewal"]

log = structlog.get_logger(__name__)

#: The share of a token's life after which it is renewed.
RENEW_SHARE = 0.8
#: A login ends after so many seconds, however often its tokens were renewed.
MAX_LOGIN_SECONDS = 7 * 86_400
#: The interval between looks at due tokens, and the delay after a failed renewal.
POLL_SECONDS = 5.0
RETRY_SECONDS = 60.0
ENDED = "expired: the exchange ended this login; log in again"


class TokenRenewal:
    """When the tokens of each person are due; ``publish`` notifies the person's browser sessions."""

    def __init__(
        self,
        call: Call,
        sessions: BrowserSessions,
        *,
        publish: Callable[[SessionChanged], None],
        wall: Callable[[], float] = time.time,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._call = call
        self._sessions = sessions
        self._publish = publish
        self._wall = wall
        self._poll_seconds = poll_seconds
        self._due: dict[str, float] = {}
        self.refreshed = 0
        self.ended = 0

    def __len__(self) -> int:
        return len(self._due)

    def add(self, person: Person) -> None:
        """Renew the person's tokens from now on."""
        self._due[person.person_id] = _due(person)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Renew tokens that are due, until cancelled; starts with the logins that a previous leader made."""
        task_status.started()
        loaded = False
        while True:
            try:
                if not loaded:
                    async for person in self._sessions.logged_in():
                        self.add(person)
                    loaded = True
                for person_id in [one for one, due in self._due.items() if due <= self._wall()]:
                    await self._renew(person_id)
            except CacheUnavailable:
                pass  # reported by those whose request failed; the next look tries again
            await anyio.sleep(self._poll_seconds)

    async def _renew(self, person_id: str) -> None:
        person = await self._sessions.person(person_id)
        if person is None:
            del self._due[person_id]
            return
        now = self._wall()
        if _due(person) > now:
            self.add(person)
            return
        self._due[person_id] = now + RETRY_SECONDS
        too_old = now - person.first > MAX_LOGIN_SECONDS
        if too_old or not await self._sessions.used_since(person_id, person.issued):
            return  # the login expires
        try:
            scope = person_scope(person.exchange_session)
            params = {"grant_type": "refresh_token", "refresh_token": person.tokens.refresh, "scope": scope}
            grant = msgspec.json.decode(await self._call("public/auth", params), type=Grant)
        except ExchangeError as exc:
            if login_ended(exc):
                await self.end(person)
            return
        except msgspec.DecodeError:
            return
        except InternalError:  # the tokens of other persons are renewed all the same
            log.exception("token renewal failed, internal error", person=person_id)
            return
        await self._store(person_id, grant)

    async def _store(self, person_id: str, grant: Grant) -> None:
        if excess_rights(grant.scope, READ_ONLY_SCOPE):
            return
        tokens = Tokens(grant.access_token, grant.refresh_token)
        person = await self._sessions.renew(person_id, tokens, grant.scope, grant.expires_in)
        if person is None:
            return  # logged out meanwhile
        self.refreshed += 1
        self.add(person)
        self._publish(SessionChanged(tuple(person.sessions), PERSON_CHANGED))

    async def end(self, person: Person) -> None:
        """Delete a login that the exchange ended and notify its sessions, unless the person has logged in again."""
        sessions = await self._sessions.log_out(person.person_id, only_with=person.tokens)
        if sessions:
            self._due.pop(person.person_id, None)
            self.ended += 1
            self._publish(SessionChanged(sessions, LOGGED_OUT, ENDED))
            log.info("login ended by the exchange", person=person.person_id)


def _due(person: Person) -> float:
    return person.issued + RENEW_SHARE * (person.expires_at - person.issued)
