"""Renews the tokens of persons as long as their logins live, and ends logins that the exchange ended.

Runs on the leader. A failure is stored with the person, whose login then ends with its tokens, and tried again before.
"""

import contextlib
import math
import time
from collections.abc import Callable

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from ..backoff import doubled
from ..deribit.auth import Grant
from ..errors import CacheUnavailable, CryptomarketError, ExchangeError, ExchangeUnreachable, InternalError
from ..model import SessionChanged
from .browser_sessions import PERSON_CHANGED, BrowserSessions, Person, Tokens
from .grants import Call, MissingRights, WideGrant, renewed_grant
from .login_flow import login_ended
from .notifications import LOGGED_OUT

__all__ = ["TokenRenewal", "retry_delay"]

log = structlog.get_logger(__name__)

#: The share of a token's life after which it is renewed.
RENEW_SHARE = 0.8
#: The delay after the first failure of a renewal; it doubles up to the longest, within the rest of the tokens' life.
RETRY_SECONDS, LONGEST_RETRY_SECONDS, SHORTEST_RETRY_SECONDS = 30.0, 600.0, 0.2
#: After so long without an answer a renewal counts as failed, unless it is answered later.
LATE_SECONDS = 10.0
#: Attempts to narrow a grant that came back wide, and the delay between them.
NARROW_ATTEMPTS = 3
NARROW_SECONDS = 1.0
#: The delay before new tokens are written again to a cache that does not answer.
STORE_SECONDS = 0.5
#: How long a node that stops waits for renewals under way.
FINISH_SECONDS = 2.0
#: The longest interval between looks at due tokens: the clock of the machine may be set.
LONGEST_WAIT_SECONDS = 60.0

ENDED = "expired: the exchange ended this login; log in again"
NARROWED = "ended: this key may no longer read the account; log in with a key that may"
WIDENED = "ended: the exchange renewed this login with more rights than reading; log in again"
NOT_RENEWED = "the exchange does not renew this login now; this is tried again until it ends"


class LoginEnded(CryptomarketError):
    """The tokens cannot be renewed any more; ``str()`` is the sentence that the person reads."""


def retry_delay(failures: int, life_seconds: float) -> float:
    """The seconds until the next attempt after so many failures, some of them within the rest of the tokens' life."""
    delay = doubled(RETRY_SECONDS, failures - 1, cap_seconds=LONGEST_RETRY_SECONDS)
    return max(SHORTEST_RETRY_SECONDS, min(delay, life_seconds / 5))


class TokenRenewal:
    """When the tokens of each person are due; ``publish`` notifies the person's browser sessions."""

    def __init__(
        self,
        call: Call,
        sessions: BrowserSessions,
        *,
        publish: Callable[[SessionChanged], None],
        wall: Callable[[], float] = time.time,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._call = call
        self._sessions = sessions
        self._publish = publish
        self._wall = wall
        self._longest_wait_seconds = longest_wait_seconds
        #: When to look at each person's tokens again; never while a renewal is under way.
        self._due: dict[str, float] = {}
        #: When a renewal that is under way counts as failed.
        self._late: dict[str, tuple[float, Person]] = {}
        self._failures: dict[str, int] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self._wake_up = anyio.Event()
        self._under_way = 0
        self._idle = anyio.Event()
        self._finishing = False
        self.refreshed = 0
        self.failed = 0
        self.widened = 0
        self.ended = 0

    def __len__(self) -> int:
        return len(self._due)

    def add(self, person: Person) -> None:
        """Renew the person's tokens from now on."""
        self._failures.pop(person.person_id, None)
        self._look_at(person.person_id, min(_due(person), float(person.expires_at)))

    def _look_at(self, person_id: str, moment: float) -> None:
        self._due[person_id] = moment
        self._wake_up.set()

    def _forget(self, person_id: str) -> None:
        for table in (self._due, self._failures, self._locks):
            table.pop(person_id, None)

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Renew tokens that are due, until cancelled; starts with the logins that a previous leader made."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._load)
            task_status.started()
            while True:
                self._wake_up = anyio.Event()
                self._start_due(tasks)
                moments = [*self._due.values(), *(moment for moment, _ in self._late.values())]
                wait = min(moments, default=math.inf) - self._wall()
                if self._finishing:
                    wait = math.inf
                with anyio.move_on_after(max(0.0, min(wait, self._longest_wait_seconds))):
                    await self._wake_up.wait()

    async def _load(self) -> None:
        while True:
            try:
                async for person in self._sessions.logged_in():
                    if person.person_id not in self._due:
                        self.add(person)
                return
            except CacheUnavailable:  # reported by those whose request failed
                await anyio.sleep(STORE_SECONDS)

    async def finish(self) -> None:
        """Start no further renewals; wait for those under way, whose answers replace the tokens at the exchange."""
        self._finishing = True
        self._idle = anyio.Event()
        if self._under_way:
            with anyio.move_on_after(FINISH_SECONDS):
                await self._idle.wait()

    def _start_due(self, tasks: TaskGroup) -> None:
        if self._finishing:
            return
        now = self._wall()
        for person_id in [one for one, due in self._due.items() if due <= now]:
            self._due[person_id] = math.inf
            tasks.start_soon(self._renew_due, person_id)
        for person_id, (moment, person) in list(self._late.items()):
            if moment <= now:
                del self._late[person_id]
                tasks.start_soon(self._report_late, person)

    async def _renew_due(self, person_id: str) -> None:
        try:
            person = await self._sessions.person(person_id)
            if person is None:
                self._forget(person_id)
            elif _due(person) > self._wall():
                self.add(person)
            else:
                await self.renew(person)
        except CacheUnavailable:
            self._look_at(person_id, self._wall() + STORE_SECONDS)
        except ExchangeError:
            pass  # stored and tried again, by the next leader if this node stops
        except InternalError:  # the tokens of other persons are renewed all the same
            self._look_at(person_id, self._wall() + RETRY_SECONDS)
            log.exception("token renewal failed, internal error", person=person_id)

    async def renew(self, person: Person) -> Person | None:
        """Replace the person's tokens now; return the person as stored, None when the login is over.

        Tokens that were replaced meanwhile are not replaced again. Raises CacheUnavailable, and ExchangeError: after
        storing that the renewal failed, or because this node stops.
        """
        async with self._locks.setdefault(person.person_id, anyio.Lock()):
            found = await self._sessions.person(person.person_id)
            if found is None:
                self._forget(person.person_id)
            if found is None or found.tokens != person.tokens:
                return found
            if self._finishing:
                raise ExchangeUnreachable("this node stops: it could not store the new tokens any more")
            issued = self._wall()
            life = found.tokens_expire_at - issued
            self._late[person.person_id] = issued + (min(LATE_SECONDS, life / 2) if life > 0 else LATE_SECONDS), found
            self._wake_up.set()
            self._under_way += 1
            try:
                return await self._store(found, await self._grant(found), issued)
            except LoginEnded as exc:
                await self.end(found, str(exc))
                return None
            except ExchangeError as exc:
                await self._fail(found, str(exc))
                raise
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
                self._late.pop(person.person_id, None)

    async def _grant(self, person: Person) -> Grant:
        """Return new tokens. Raises LoginEnded, or ExchangeError while the old pair may live."""
        try:
            return await renewed_grant(self._call, person.exchange_session, person.tokens.refresh)
        except MissingRights:
            raise LoginEnded(NARROWED) from None
        except WideGrant as exc:
            self.widened += 1
            log.warning("token renewal too wide", person=person.person_id, rights=str(exc))
            return await self._narrowed(person, exc.refresh_token)
        except ExchangeError as exc:
            if login_ended(exc):
                raise LoginEnded(ENDED) from None
            raise

    async def _narrowed(self, person: Person, refresh_token: str) -> Grant:
        """Request the scope once more, with the refresh token of a wide grant, and return the new tokens."""
        for _ in range(NARROW_ATTEMPTS):
            try:
                return await renewed_grant(self._call, person.exchange_session, refresh_token)
            except ExchangeUnreachable:
                await anyio.sleep(NARROW_SECONDS)
            except (ExchangeError, MissingRights, WideGrant):
                break
        raise LoginEnded(WIDENED)

    async def _store(self, person: Person, grant: Grant, issued: float) -> Person | None:
        """Store the tokens, which the exchange has put in place of the old pair; wait for a cache that is away."""
        tokens = Tokens(grant.access_token, grant.refresh_token)
        while True:
            try:
                renewed = await self._sessions.renew(
                    person, tokens, grant.scope, issued=issued, life_seconds=grant.expires_in
                )
                break
            except CacheUnavailable:
                if self._wall() >= issued + grant.expires_in:
                    raise
                await anyio.sleep(STORE_SECONDS)
        if renewed is None:
            self._look_at(person.person_id, self._wall())  # logged out meanwhile, or logged in again
            return await self._sessions.person(person.person_id)
        self.refreshed += 1
        self.add(renewed)
        self._publish(SessionChanged(tuple(renewed.sessions), PERSON_CHANGED))
        return renewed

    async def _report_late(self, person: Person) -> None:
        with contextlib.suppress(CacheUnavailable):  # the renewal is under way and reports its own end
            await self._fail(person, "no answer yet", again=False)

    async def _fail(self, person: Person, reason: str, *, again: bool = True) -> None:
        """Say that the renewal failed, in the log and to the person's sessions, and store it."""
        person_id, now = person.person_id, self._wall()
        self.failed += 1
        log.warning("token renewal failed", person=person_id, reason=reason)
        if again:
            failures = self._failures[person_id] = self._failures.get(person_id, 0) + 1
            self._look_at(person_id, now + retry_delay(failures, person.tokens_expire_at - now))
        failing = await self._sessions.renewal_failed(person, NOT_RENEWED)
        if failing is not None and not person.problem:
            self._publish(SessionChanged(tuple(failing.sessions), PERSON_CHANGED))

    async def end(self, person: Person, reason: str = ENDED) -> None:
        """Delete a login that the exchange ended and notify its sessions, unless the person has logged in again."""
        sessions = await self._sessions.log_out(person.person_id, only_with=person.tokens)
        self._look_at(person.person_id, self._wall())
        if sessions:
            self.ended += 1
            self._publish(SessionChanged(sessions, LOGGED_OUT, reason))
            log.info("login ended by the exchange", person=person.person_id, reason=reason)


def _due(person: Person) -> float:
    return person.issued + RENEW_SHARE * (person.tokens_expire_at - person.issued)
