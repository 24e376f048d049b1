"""Who is logged in where: the person's record and the browser sessions bound to it, sealed, in the cache.

Only the leader writes persons; any node reads them, and any node may end them. A session is known by its fingerprint,
and bound in two places that must agree: its own record names the person, the person's record names the session.
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

__all__ = ["LIFE_SECONDS", "MOST_SESSIONS", "PERSON", "BrowserSessions", "Person", "Tokens"]

T = TypeVar("T")

#: 27 hours: who comes once a day stays logged in.
LIFE_SECONDS = 97_200
PERSON = "deribit:person:%s"
SESSION = "deribit:session:%s"
SEEN = "deribit:seen:%s"
#: That a login is used is noted so often at most.
NOTE_SECONDS = 600.0
#: How long after a cache that took no note it is asked again.
NOTE_AGAIN_SECONDS = 10.0
#: Browser sessions a person is logged in from at once; the one bound longest ago goes first.
MOST_SESSIONS = 32


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the exchange gave, carried by the calls of this person alone, and never shown."""

    access: str
    refresh: str

    def __repr__(self) -> str:
        return "<Tokens>"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in; times are UNIX seconds.

    ``issued`` is when the tokens came, ``first`` when the person logged in; ``sessions`` are the browser sessions that
    are logged in, each with the login that bound it.
    """

    person_id: str
    username: str
    email: str
    scope: str
    expires_at: int
    issued: int
    first: int
    tokens: Tokens
    sessions: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Person {self.person_id}>"


@dataclass(frozen=True, slots=True)
class _Bound:
    """The record of a browser session: whose it is."""

    person_id: str


class BrowserSessions:
    """Reads and writes persons and their browser sessions; what does not open counts as not there."""

    def __init__(
        self, cache: Cache, vault: Vault, *, wall: Callable[[], float] = time.time, note_seconds: float = NOTE_SECONDS
    ) -> None:
        self._cache = cache
        self._vault = vault
        self._wall = wall
        self._note_seconds = note_seconds
        self._noted: dict[str, float] = {}
        #: Held by the leader while it reads a person and writes it back.
        self.writing = anyio.Lock()

    def _read(self, name: str, record: bytes | None, kind: type[T]) -> T | None:
        if record is None:
            return None
        try:
            return msgspec.json.decode(self._vault.open(name, record), type=kind)
        except (CannotOpen, msgspec.DecodeError):
            return None

    async def _get(self, names: Sequence[str], kind: type[T]) -> list[T | None]:
        records = await self._cache.get(*names)
        return [self._read(name, record, kind) for name, record in zip(names, records, strict=True)]

    # Reading

    async def person(self, person_id: str) -> Person | None:
        """The person, unless it is not logged in, or not any more."""
        (found,) = await self._get([PERSON % person_id], Person)
        return found if found is not None and found.expires_at > self._wall() else None

    async def of_sessions(self, sessions: Sequence[str]) -> list[Person | None]:
        """The person of each browser session, None for those that are not logged in; two commands in all."""
        if not sessions:
            return []
        bound = await self._get([SESSION % session for session in sessions], _Bound)
        ids = sorted({one.person_id for one in bound if one})
        found = dict(zip(ids, await self._get([PERSON % one for one in ids], Person), strict=True))
        return [
            self._agreed(session, found.get(one.person_id)) if one else None
            for session, one in zip(sessions, bound, strict=True)
        ]

    def _agreed(self, session: str, person: Person | None) -> Person | None:
        if person is None or session not in person.sessions or person.expires_at <= self._wall():
            return None
        return person

    async def persons(self) -> AsyncIterator[Person]:
        """Everybody who is logged in."""
        async for name in self._cache.names(PERSON % ""):
            person = await self.person(name.removeprefix(PERSON % ""))
            if person is not None:
                yield person

    # Writing

    async def write(self, person: Person, *, only_over: bool = False) -> bool:
        """Keep the person until it expires; with ``only_over`` not where the person was ended meanwhile."""
        name = PERSON % person.person_id
        record = self._vault.seal(name, msgspec.json.encode(person))
        return await self._cache.put(name, record, max(0.001, person.expires_at - self._wall()), only_over=only_over)

    async def bind(self, session: str, person_id: str) -> None:
        """Enter the person, which names the session already, into the record of the session."""
        name = SESSION % session
        record = self._vault.seal(name, msgspec.json.encode(_Bound(person_id)))
        await self._cache.put(name, record, LIFE_SECONDS)

    async def leave(self, person: Person, session: str) -> None:
        """Somebody else logged in there: the person is logged in one session less, and forgotten after the last."""
        rest = {one: by for one, by in person.sessions.items() if one != session}
        if rest:
            await self.write(replace(person, sessions=rest), only_over=True)
        else:
            await self.end(person.person_id)

    async def end(self, person_id: str) -> tuple[str, ...]:
        """Forget everything kept of the person; the browser sessions that were logged in until now."""
        (person,) = await self._get([PERSON % person_id], Person)
        # The person first: from here on no session of it is logged in any more.
        await self._cache.delete(PERSON % person_id, SEEN % person_id)
        self._noted.pop(person_id, None)
        sessions = tuple(person.sessions) if person else ()
        names = [SESSION % session for session in sessions]
        ended = []
        for session, name, record in zip(sessions, names, await self._cache.get(*names), strict=True):
            bound = self._read(name, record, _Bound)
            # Another person may have logged in there since.
            if record is not None and bound is not None and bound.person_id == person_id:
                await self._cache.swap(name, record, None)
                ended.append(session)
        return tuple(ended)

    # Whether anybody still uses a login

    async def note(self, person_id: str) -> None:
        """The person is here: the tokens are worth refreshing. A cache that takes no writes gets the note later."""
        now = self._wall()
        if now - self._noted.get(person_id, 0.0) >= self._note_seconds:
            if len(self._noted) > 10_000:
                self._noted.clear()
            self._noted[person_id] = now
            try:
                await self._cache.put(SEEN % person_id, str(int(now)).encode(), LIFE_SECONDS)
            except CacheUnavailable:
                self._noted[person_id] = now - self._note_seconds + NOTE_AGAIN_SECONDS

    async def used_since(self, person_id: str, moment: int) -> bool:
        """Whether the person was here since the moment (UNIX seconds)."""
        (seen,) = await self._cache.get(SEEN % person_id)
        return seen is not None and int(seen) >= moment
