"""The roster: who was seen, kept for the operator's table and written once a day; nothing secret is in it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable

from ..errors import CacheUnavailable
from .browser_sessions import Person

__all__ = ["LastSeen", "SeenPerson"]

#: Id, username, e-mail, first and last seen in UNIX seconds.
SeenPerson = tuple[str, str, str, int, int]


class LastSeen:
    """Collects everybody who logs in; ``work`` hands them to ``write`` together with those who still are."""

    def __init__(
        self,
        persons: Callable[[], AsyncIterator[Person]],
        write: Callable[[list[SeenPerson]], Awaitable[None]],
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._persons = persons
        self._write = write
        self._wall = wall
        self._met: dict[str, SeenPerson] = {}

    def met(self, person: Person) -> None:
        """Somebody logged in."""
        self._met[person.person_id] = self._entry(person)

    def _entry(self, person: Person) -> SeenPerson:
        known = self._met.get(person.person_id)
        first = min(person.first, known[3]) if known else person.first
        return person.person_id, person.username, person.email, first, int(self._wall())

    async def work(self) -> None:
        """Write everybody who was seen since the last time; who could not be written is kept for the next."""
        try:
            async for person in self._persons():
                self.met(person)
        except CacheUnavailable:
            pass  # those who logged in through this process are known all the same
        written = dict(self._met)
        await self._write(list(written.values()))
        self._met = {one: entry for one, entry in self._met.items() if written.get(one) != entry}
