"""Which person is logged in where: encrypted records of persons and of browser sessions, in the cache.

A session here is a browser session, named by the fingerprint of its cookie. A login is recorded twice, and both
records must agree: the session's names the person, the person's names the session. Only the leader writes logins;
every node reads and ends them.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
import msgspec

from ..errors import CacheUnavailable
from .cache import Cache
from .vault import CannotOpen, Vault

__all__ = [
    "LIFE_SECONDS",
    "MAX_SESSIONS",
    "PERSON",
    "SESSION",
    "BrowserSessions",
    "Claims",
    "Login",
    "Person",
    "Tokens",
]

T = TypeVar("T")

#: 27 hours: a person who comes once a day stays logged in.
LIFE_SECONDS = 97_200
PERSON = "deribit:person:%s"
SESSION = "deribit:session:%s"
SEEN = "deribit:seen:%s"
#: The shortest interval between two writes that a person uses the login.
USE_SECONDS = 600.0
#: The delay before such a write is tried again after the cache failed.
RETRY_USE_SECONDS = 10.0
#: Browser sessions in which one person can be logged in; the oldest login is ended. Bounds the person's record.
MAX_SESSIONS = 32


@dataclass(frozen=True, slots=True)
class Tokens:
    """The exchange's tokens of one person; its representation shows neither."""

    access: str
    refresh: str

    def __repr__(self) -> str:
        return "<Tokens>"


@dataclass(frozen=True, slots=True)
class Person:
    """A person who is logged in; times are UNIX seconds.

    ``issued`` is when the tokens came, ``first`` when the person logged in. ``sessions`` maps each browser session that
    is logged in to the id of its login. The tokens belong to ``exchange_session``, which every renewal names.
    """

    person_id: str
    username: str
    email: str
    scope: str
    expires_at: int
    issued: int
    first: int
    exchange_session: str
    tokens: Tokens
    sessions: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Person {self.person_id}>"


@dataclass(frozen=True, slots=True)
class Login:
    """A login that was stored.

    ``evicted`` are sessions of the person that it ended because there were too many; ``replaced`` is whether another
    person was logged in at its session until now.
    """

    person: Person
    evicted: tuple[str, ...] = ()
    replaced: bool = False


class Claims(msgspec.Struct, frozen=True, array_like=True):
    """What a session token asserts: the person, the browser session, the login."""

    person_id: str
    session: str
    login_id: str


@dataclass(frozen=True, slots=True)
class _SessionRecord:
    person_id: str


class BrowserSessions:
    """Reads and writes logins. A record that cannot be opened counts as absent. Raises CacheUnavailable."""

    def __init__(
        self, cache: Cache, vault: Vault, *, wall: Callable[[], float] = time.time, use_seconds: float = USE_SECONDS
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._wall = wall
        self._use_seconds = use_seconds
        self._last_use: dict[str, float] = {}
        #: Held while a person is read and written back; only the leader writes, so a lock of the process is enough.
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
        return self._vault.token(msgspec.json.encode(Claims(person.person_id, session, person.sessions[session])))

    async def person_of_token(self, token: str) -> Person | None:
        """Return the person; None for a token that is not ours or whose login has ended."""
        try:
            claims = msgspec.json.decode(self._vault.claims(token, seconds=LIFE_SECONDS), type=Claims)
        except (CannotOpen, msgspec.DecodeError):
            return None
        (person,) = await self.persons_of([claims.session])
        return person if person is not None and person.sessions[claims.session] == claims.login_id else None

    # Writing

    async def log_in(self, person: Person, session: str, login_id: str) -> Login:
        """Log the person in at the session, in addition to the newest of its other sessions.

        A person who was logged in there before is logged out there.
        """
        async with self._writing:
            (before,) = await self.persons_of([session])
            known = await self.person(person.person_id)
            others = [item for item in known.sessions.items() if item[0] != session] if known else []
            kept = others[-(MAX_SESSIONS - 1) :]
            evicted = tuple(one for one, _ in others[: len(others) - len(kept)])
            sessions = dict([*kept, (session, login_id)])
            stored = replace(person, sessions=sessions, first=known.first if known else person.first)
            await self._write(stored)
            await self._bind(session, stored.person_id)
            await self._unbind(evicted, stored.person_id)
            replaced = before is not None and before.person_id != stored.person_id
            if before is not None and replaced:
                await self._leave(before, session)
        return Login(stored, evicted, replaced)

    async def renew(self, person_id: str, tokens: Tokens, scope: str, life_seconds: float) -> Person | None:
        """Store new tokens and extend the login in all its sessions; None when the person was logged out meanwhile."""
        now = int(self._wall())
        async with self._writing:
            person = await self.person(person_id)
            if person is None:
                return None
            expires_at = now + int(min(life_seconds, LIFE_SECONDS))
            person = replace(person, scope=scope, tokens=tokens, issued=now, expires_at=expires_at)
            if not await self._write(person, only_over=True):
                return None
            for session in person.sessions:
                await self._bind(session, person_id)
        return person

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
        await self._cache.delete(PERSON % person_id, SEEN % person_id)
        self._last_use.pop(person_id, None)
        return await self._unbind(tuple(person.sessions), person_id) if person else ()

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

    async def _write(self, person: Person, *, only_over: bool = False) -> bool:
        name = PERSON % person.person_id
        record = self._vault.seal(name, msgspec.json.encode(person))
        return await self._cache.put(name, record, max(0.001, person.expires_at - self._wall()), only_over=only_over)

    async def _bind(self, session: str, person_id: str) -> None:
        name = SESSION % session
        record = self._vault.seal(name, msgspec.json.encode(_SessionRecord(person_id)))
        await self._cache.put(name, record, LIFE_SECONDS)

    async def _leave(self, person: Person, session: str) -> None:
        rest = {one: login_id for one, login_id in person.sessions.items() if one != session}
        if rest:
            await self._write(replace(person, sessions=rest), only_over=True)
        else:
            await self._log_out(person.person_id)

    # Whether a login is still used

    async def record_use(self, person_id: str) -> None:
        """Note that the person is here, so that its tokens are renewed; a write that fails is made up for later."""
        now = self._wall()
        if now - self._last_use.get(person_id, 0.0) < self._use_seconds:
            return
        if len(self._last_use) > 10_000:
            self._last_use.clear()
        self._last_use[person_id] = now
        try:
            await self._cache.put(SEEN % person_id, str(int(now)).encode(), LIFE_SECONDS)
        except CacheUnavailable:
            self._last_use[person_id] = now - self._use_seconds + RETRY_USE_SECONDS

    async def used_since(self, person_id: str, moment: int) -> bool:
        """Whether the person was here since the moment (UNIX seconds)."""
        (seen,) = await self._cache.get(SEEN % person_id)
        return seen is not None and int(seen) >= moment
