"""Which person is logged in where: encrypted records of persons and of browser sessions, in the cache.

A session here is a browser session, named by the fingerprint of its cookie. A login is recorded twice, and both
records must agree: the session's names the person, the person's names the session. The leader makes logins and renews
their tokens; every node reads, extends and ends them. A record is changed only if nobody else changed it meanwhile.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import anyio
import msgspec

from ..errors import CacheUnavailable
from ..model import SessionChanged
from .cache import Cache
from .person import LIFE_SECONDS, MAX_LOGIN_SECONDS, Person, SessionLogin
from .tokens import Tokens
from .vault import CannotOpen, Vault

__all__ = [
    "MAX_SESSIONS",
    "PERSON",
    "PERSON_CHANGED",
    "SESSION",
    "BrowserSessions",
    "Claims",
    "Login",
]

T = TypeVar("T")

#: The kind of message that says that sessions must read their person again.
PERSON_CHANGED = "person"
PERSON = "deribit:person:%s"
SESSION = "deribit:session:%s"
#: The shortest interval between two writes that a person uses the login in one browser session.
USE_SECONDS = 600.0
#: The delay before such a write is tried again after the cache failed.
RETRY_USE_SECONDS = 10.0
#: Browser sessions in which one person can be logged in; the oldest login is ended. Bounds the person's record.
MAX_SESSIONS = 32
#: Attempts at a record that others change meanwhile.
MAX_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Login:
    """A login that was stored; ``evicted`` are sessions of the person that it ended because there were too many."""

    person: Person
    evicted: tuple[str, ...] = ()


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a session token asserts: the person, the browser session, the login."""

    person_id: str
    session: str
    login_id: str


@dataclass(frozen=True, slots=True)
class _SessionRecord:
    person_id: str


def _ignore(*_: object) -> None:
    """Do nothing."""


class BrowserSessions:
    """Reads and writes logins; ``publish`` notifies the sessions of a login that was extended.

    ``on_change`` is called with the id of a person and the record that was stored, None at the end of the login;
    ``on_end`` with the last record of a login that ended here.
    A record that cannot be opened, such as one of an earlier version, counts as absent. Raises CacheUnavailable.
    """

    def __init__(
        self,
        cache: Cache,
        vault: Vault,
        *,
        publish: Callable[[SessionChanged], None] = _ignore,
        on_change: Callable[[str, Person | None], None] = _ignore,
        on_end: Callable[[Person], None] = _ignore,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._publish = publish
        self._on_change = on_change
        self._on_end = on_end
        self._wall = wall
        self._uses_written_from = 0.0
        #: Held while a login is made or ended, which takes several records; only the leader makes logins.
        self._writing = anyio.Lock()

    def _decode(self, name: str, record: bytes | None, kind: type[T]) -> T | None:
        if record is None:
            return None
        try:
            return msgspec.json.decode(self._vault.open(name, record), type=kind)
        except (CannotOpen, msgspec.DecodeError):
            return None

    async def _get(self, names: Sequence[str], kind: type[T]) -> list[T | None]:
        records = await self._cache.get(*names)
        return [self._decode(name, record, kind) for name, record in zip(names, records, strict=True)]

    # Reading

    async def person(self, person_id: str) -> Person | None:
        """Return the person; None when not logged in, or expired."""
        (found,) = await self._get([PERSON % person_id], Person)
        return found if found is not None and found.expires_at > self._wall() else None

    async def persons_of(self, sessions: Sequence[str]) -> list[Person | None]:
        """Return the person of each session, None where nobody is logged in; two commands to the cache in all."""
        if not sessions:
            return []
        records = await self._get([SESSION % session for session in sessions], _SessionRecord)
        ids = sorted({one.person_id for one in records if one})
        persons = dict(zip(ids, await self._get([PERSON % one for one in ids], Person), strict=True))
        return [
            self._confirmed(session, persons.get(one.person_id)) if one else None
            for session, one in zip(sessions, records, strict=True)
        ]

    def _confirmed(self, session: str, person: Person | None) -> Person | None:
        if person is None or session not in person.sessions or person.expires_at <= self._wall():
            return None
        return person

    async def logged_in(self) -> AsyncIterator[Person]:
        """Iterate over all persons who are logged in."""
        async for name in self._cache.names(PERSON % ""):
            person = await self.person(name.removeprefix(PERSON % ""))
            if person is not None:
                yield person

    # Session tokens, which a browser holds

    def token(self, person: Person, session: str) -> str:
        """Return a new token with which the session makes requests as the person."""
        return self._vault.token(
            msgspec.json.encode(Claims(person.person_id, session, person.sessions[session].login_id))
        )

    async def person_of_token(self, token: str) -> tuple[Person, str] | None:
        """Return the person and the browser session; None for a token that is not ours or whose login has ended."""
        try:
            claims = msgspec.json.decode(self._vault.claims(token, seconds=MAX_LOGIN_SECONDS), type=Claims)
        except (CannotOpen, msgspec.DecodeError):
            return None
        (person,) = await self.persons_of([claims.session])
        if person is None or person.sessions[claims.session].login_id != claims.login_id:
            return None
        return person, claims.session

    # Writing

    async def log_in(self, person: Person, session: str, login_id: str, browser: str = "") -> Login:
        """Log the person in at the session, in addition to the newest of its other sessions.

        The session is one that was made for this login; ``browser`` is a label of the browser that has it.
        """
        login = SessionLogin(login_id, browser, person.first, person.first)
        async with self._writing:
            evicted: tuple[str, ...] = ()

            def merged(known: Person) -> Person:
                nonlocal evicted
                others = [item for item in known.sessions.items() if item[0] != session]
                kept = others[-(MAX_SESSIONS - 1) :]
                evicted = tuple(one for one, _ in others[: len(others) - len(kept)])
                return replace(person, sessions=dict([*kept, (session, login)]))

            stored = await self._update(person.person_id, merged)
            if stored is None:
                stored = replace(person, sessions={session: login})
                await self._cache.put(PERSON % person.person_id, self._sealed(stored), self._life(stored))
                self._on_change(stored.person_id, stored)
            await self._bind(session, stored.person_id)
            await self._cache.extend({SESSION % one: LIFE_SECONDS for one in stored.sessions})
            await self._unbind(evicted, stored.person_id)
        return Login(stored, evicted)

    async def renew(
        self, person: Person, tokens: Tokens, scope: str, *, issued: float, life_seconds: float
    ) -> Person | None:
        """Store new tokens; None when the person was logged out or received other tokens meanwhile."""
        new = {"tokens": tokens, "scope": scope, "issued": issued, "tokens_expire_at": issued + life_seconds}
        return await self._change_with(person, **new, problem="")

    async def refreshed(self, person: Person, tokens: Tokens) -> Person | None:
        """Store the successor of a used refresh token at once; None when the person was logged out meanwhile."""
        return await self._change_with(person, tokens=tokens, refreshing=0.0)

    async def begin_refresh(self, person: Person, now: float) -> Person | None:
        """Note that this leader uses the person's refresh token; None when anything of the record changed meanwhile.

        Two leaders never both get a person: the record is replaced only if it is the one that was read.
        """

        def begun(found: Person) -> Person | None:
            same = found.tokens == person.tokens and found.refreshing == person.refreshing
            return replace(found, refreshing=now) if same else None

        return await self._update(person.person_id, begun)

    async def renewal_failed(self, person: Person, problem: str) -> Person | None:
        """Store why the tokens were not renewed; None when the person was logged out or received other tokens."""
        return await self._change_with(person, problem=problem)

    async def _change_with(self, person: Person, **changes: Any) -> Person | None:
        def change(found: Person) -> Person | None:
            # With the new tokens an attempt, whose reply was lost, stored them.
            known = found.tokens in (person.tokens, changes.get("tokens"))
            return replace(found, **changes) if known else None

        return await self._update(person.person_id, change)

    async def log_out(self, person_id: str, *, only_with: Tokens | None = None) -> tuple[str, ...]:
        """Delete everything stored of the person; return the sessions that were logged in until now.

        ``only_with`` keeps a person who has other tokens by now, because of a later login.
        """
        async with self._writing:
            return await self._log_out(person_id, only_with)

    async def _log_out(self, person_id: str, only_with: Tokens | None = None) -> tuple[str, ...]:
        (person,) = await self._get([PERSON % person_id], Person)
        if only_with is not None and (person is None or person.tokens != only_with):
            return ()
        # The person first: from here on none of its sessions is logged in.
        await self._cache.delete(PERSON % person_id)
        self._on_change(person_id, None)
        if person is None:
            return ()
        self._on_end(person)
        return await self._unbind(tuple(person.sessions), person_id)

    async def _unbind(self, sessions: Sequence[str], person_id: str) -> tuple[str, ...]:
        """Delete the records of the sessions that name the person; return those sessions."""
        names = [SESSION % session for session in sessions]
        ended = []
        for session, name, record in zip(sessions, names, await self._cache.get(*names), strict=True):
            found = self._decode(name, record, _SessionRecord)
            # Another person may have logged in there since.
            if record is not None and found is not None and found.person_id == person_id:
                await self._cache.swap(name, record, None)
                ended.append(session)
        return tuple(ended)

    async def _update(self, person_id: str, change: Callable[[Person], Person | None]) -> Person | None:
        """Change the record of a person who is logged in; return it as stored, None if there is none or no change.

        A person who is left without sessions is deleted.
        """
        name = PERSON % person_id
        for _ in range(MAX_ATTEMPTS):
            (record,) = await self._cache.get(name)
            found = self._decode(name, record, Person)
            if record is None or found is None or found.expires_at <= self._wall():
                return None
            changed = change(found)
            if changed is None or changed == found:
                return changed
            kept = changed if changed.sessions else None
            if await self._cache.swap(name, record, self._sealed(kept) if kept else None, self._life(changed)):
                self._on_change(person_id, kept)
                if kept is None:
                    self._on_end(changed)
                return changed
        raise CacheUnavailable("a record changed at every attempt to change it")

    def _sealed(self, person: Person) -> bytes:
        return self._vault.seal(PERSON % person.person_id, msgspec.json.encode(person))

    def _life(self, person: Person) -> float:
        return max(0.001, person.expires_at - self._wall())

    async def _bind(self, session: str, person_id: str) -> None:
        name = SESSION % session
        record = self._vault.seal(name, msgspec.json.encode(_SessionRecord(person_id)))
        await self._cache.put(name, record, LIFE_SECONDS)

    async def end(self, session: str) -> bool:
        """End the login of one browser session; return whether somebody was logged in there."""
        (person,) = await self.persons_of([session])
        if person is None:
            return False

        def without(found: Person) -> Person:
            return replace(found, sessions={one: login for one, login in found.sessions.items() if one != session})

        # The person first: from here on the session is not logged in.
        await self._update(person.person_id, without)
        await self._unbind([session], person.person_id)
        return True

    async def record_use(self, person: Person, session: str) -> Person:
        """Note that the person is here with the session, if that was not noted lately; return the person as it is now.

        It extends the login in all sessions. When the cache fails, later calls make up for it.
        """
        now = self._wall()
        if now - person.sessions[session].used < USE_SECONDS or now < self._uses_written_from:
            return person
        extended = False

        def used(found: Person) -> Person:
            nonlocal extended
            login = found.sessions.get(session)
            if login is None or now - login.used < USE_SECONDS:
                return found
            extended = now - found.used >= USE_SECONDS
            sessions = {**found.sessions, session: replace(login, used=int(now))}
            return replace(found, used=int(now) if extended else found.used, sessions=sessions)

        try:
            found = await self._update(person.person_id, used)
        except CacheUnavailable:
            self._uses_written_from = now + RETRY_USE_SECONDS
            return person
        if found is None or not extended:
            return found or person
        self._publish(SessionChanged(tuple(found.sessions), PERSON_CHANGED))
        with contextlib.suppress(CacheUnavailable):  # made up for by the next use, long before they expire
            await self._cache.extend({SESSION % session: LIFE_SECONDS for session in found.sessions})
        return found
