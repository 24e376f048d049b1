"""Renews the tokens of persons as long as their logins live, and ends logins that the exchange ended.

Runs on the leader. A failure is stored with the person, whose login then ends with its tokens, and tried again before.
"""

import contextlib
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio
import structlog
from anyio.abc import TaskGroup, TaskStatus

from ..backoff import doubled
from ..errors import CacheUnavailable, CryptomarketError, ExchangeError, ExchangeUnreachable, InternalError
from ..model import SessionChanged
from .browser_sessions import PERSON_CHANGED, BrowserSessions
from .grants import MissingRights, WideGrant
from .notifications import LOGGED_OUT
from .person import Person
from .person_door import Granted, PersonDoor, PersonDoors
from .tokens import Tokens

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
#: Renewals under way at once: more would wait for the exchange's budget in here, and count as late.
MOST_UNDER_WAY = 50
#: How long another leader's use of a refresh token is waited for: then that leader has died, or its answer was lost.
REFRESHING_SECONDS = 30.0
#: The longest interval between looks at due tokens: the clock of the machine may be set.
LONGEST_WAIT_SECONDS = 60.0

ENDED = "expired: the exchange ended this login; log in again"
NARROWED = "ended: this key may no longer read the account; log in with a key that may"
WIDENED = "ended: the exchange renewed this login with more rights than reading; log in again"
NO_DOOR = "ended: this server does not offer this log-in any more"
NOT_RENEWED = "the exchange does not renew this login now; this is tried again until it ends"


class LoginEnded(CryptomarketError):
    """The tokens cannot be renewed any more; ``str()`` is the sentence that the person reads."""


@dataclass(slots=True)
class _Attempt:
    """A renewal under way: the person as stored last, and when it began."""

    person: Person
    issued: float


def retry_delay(failures: int, life_seconds: float) -> float:
    """The seconds until the next attempt after so many failures, some of them within the rest of the tokens' life."""
    delay = doubled(RETRY_SECONDS, failures - 1, cap_seconds=LONGEST_RETRY_SECONDS)
    return max(SHORTEST_RETRY_SECONDS, min(delay, life_seconds / 5))


class TokenRenewal:
    """When the tokens of each person are due; ``publish`` notifies the person's browser sessions."""

    def __init__(
        self,
        doors: PersonDoors,
        sessions: BrowserSessions,
        *,
        publish: Callable[[SessionChanged], None],
        wall: Callable[[], float] = time.time,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self._doors = doors
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
        self._places = anyio.Semaphore(MOST_UNDER_WAY)
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
            tasks.start_soon(self._renew_in_turn, person_id)
        for person_id, (moment, person) in list(self._late.items()):
            if moment <= now:
                del self._late[person_id]
                tasks.start_soon(self._report_late, person)

    async def _renew_in_turn(self, person_id: str) -> None:
        async with self._places:
            if not self._finishing:
                await self._renew_due(person_id)

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
            attempt = _Attempt(found, self._wall())
            life = found.tokens_expire_at - attempt.issued
            late = attempt.issued + (min(LATE_SECONDS, life / 2) if life > 0 else LATE_SECONDS)
            self._late[person.person_id] = late, found
            self._wake_up.set()
            self._under_way += 1
            try:
                return await self._renewed(attempt)
            except LoginEnded as exc:
                await self.end(attempt.person, str(exc))
                return None
            except ExchangeError as exc:
                await self._fail(attempt.person, str(exc))
                raise
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()
                self._late.pop(person.person_id, None)

    async def _renewed(self, attempt: _Attempt) -> Person | None:
        """Renew and store. Raises LoginEnded, CacheUnavailable, and ExchangeError while the old tokens may live."""
        door = self._doors.get(attempt.person.door)
        if door is None:
            raise LoginEnded(NO_DOOR)
        refresh = door.refresh_due(attempt.person.tokens)
        while True:
            if refresh:
                fresh = await self._refresh(door, attempt.person)
                if fresh is None:
                    return await self._changed(attempt.person)
                attempt.person = fresh
            try:
                return await self._store(attempt, await self._grant(door, attempt.person))
            except ExchangeError as exc:
                if not door.ends(exc):
                    raise
                if refresh or attempt.person.tokens.oauth is None:
                    raise LoginEnded(ENDED) from None
                refresh = True  # the access token ended early: a new one may be accepted

    async def _refresh(self, door: PersonDoor, person: Person) -> Person | None:
        """Use the single-use refresh token and store its successor before anything else; None if the record changed.

        The use is noted first: two leaders never use one token, and a cache that takes no writes is noticed before. A
        leader that loses the lead meanwhile finishes this: without the successor the person would be logged out.
        """
        if self._wall() - person.refreshing < REFRESHING_SECONDS:
            raise ExchangeUnreachable("another leader refreshes this login")
        with anyio.CancelScope(shield=True):  # as long as the log-in server and the cache take to answer or to fail
            begun = self._wall()
            if await self._sessions.begin_refresh(person, begun) is None:
                return None
            noted = replace(person, refreshing=begun)
            try:
                tokens = await door.refreshed(noted.tokens)
            except ExchangeError as exc:
                if door.ends(exc):
                    raise LoginEnded(ENDED) from None
                await self._sessions.refreshed(noted, noted.tokens)  # this leader tries it again
                raise
            except WideGrant:
                raise LoginEnded(WIDENED) from None
            with contextlib.suppress(CacheUnavailable):
                return await self._sessions.refreshed(noted, tokens)
        return await self._stored(lambda: self._sessions.refreshed(noted, tokens), until=noted.renewable_until)

    async def _changed(self, person: Person) -> Person | None:
        """The person as logged in now: logged out during the renewal, or logged in again."""
        self._look_at(person.person_id, self._wall())
        return await self._sessions.person(person.person_id)

    async def _grant(self, door: PersonDoor, person: Person) -> Granted:
        """Return new tokens. Raises LoginEnded and ExchangeError."""
        try:
            return await door.renewed(person)
        except MissingRights:
            raise LoginEnded(NARROWED) from None
        except WideGrant as exc:
            self.widened += 1
            log.warning("token renewal too wide", person=person.person_id, rights=str(exc))
            if not exc.refresh_token:
                raise LoginEnded(WIDENED) from None
            return await self._narrowed(door, replace(person, tokens=Tokens("", exc.refresh_token)))

    async def _narrowed(self, door: PersonDoor, person: Person) -> Granted:
        """Request the scope once more, with the refresh token of a wide grant, and return the new tokens."""
        for _ in range(NARROW_ATTEMPTS):
            try:
                return await door.renewed(person)
            except ExchangeUnreachable:
                await anyio.sleep(NARROW_SECONDS)
            except (ExchangeError, MissingRights, WideGrant):
                break
        raise LoginEnded(WIDENED)

    async def _stored(self, store: Callable[[], Awaitable[Person | None]], *, until: float) -> Person | None:
        """Store tokens that the exchange has put in place of others; wait for a cache that is away."""
        while True:
            try:
                return await store()
            except CacheUnavailable:
                if self._wall() >= until:
                    raise
                await anyio.sleep(STORE_SECONDS)

    async def _store(self, attempt: _Attempt, granted: Granted) -> Person | None:
        """Store what a renewal returned, and look at it again when it is due."""
        tokens, life, issued = granted.tokens, granted.expires_in, attempt.issued
        renewed = await self._stored(
            lambda: self._sessions.renew(attempt.person, tokens, granted.scope, issued=issued, life_seconds=life),
            until=issued + life,
        )
        if renewed is None:
            return await self._changed(attempt.person)
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
            self._look_at(person_id, now + retry_delay(failures, person.renewable_until - now))
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
