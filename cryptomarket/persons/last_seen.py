"""Collects who logged in or was logged in, and writes it to the persons table once a day."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from ..errors import CacheUnavailable
from .browser_sessions import Person
from .seen_repository import SeenPerson, SeenRepository

__all__ = ["LastSeen"]

DAY_SECONDS = 86_400


class LastSeen:
    """Persons seen since the last write; ``persons`` iterates over those who are logged in now.

    Rows not seen for ``keep_days`` are deleted; None keeps them for ever.
    """

    def __init__(
        self,
        persons: Callable[[], AsyncIterator[Person]],
        repository: SeenRepository,
        *,
        keep_days: int | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._persons = persons
        self._repository = repository
        self._keep_days = keep_days
        self._wall = wall
        self._seen: dict[str, SeenPerson] = {}

    def record(self, person: Person) -> None:
        """Note that the person is logged in now."""
        now = int(self._wall())
        known = self._seen.get(person.person_id)
        entry = SeenPerson(person.person_id, person.username, person.email, person.first, now)
        self._seen[person.person_id] = replace(entry, first=min(known.first, entry.first)) if known else entry

    async def write(self) -> None:
        """Write everybody seen since the last write, then delete rows past their retention.

        Raises DatabaseUnavailable; the entries are then kept for the next call.
        """
        try:
            async for person in self._persons():
                self.record(person)
        except CacheUnavailable:
            pass  # log-ins through this process are recorded all the same
        written = dict(self._seen)
        await self._repository.write(list(written.values()))
        self._seen = {one: entry for one, entry in self._seen.items() if written.get(one) != entry}
        if self._keep_days:
            await self._repository.prune(int(self._wall()) - self._keep_days * DAY_SECONDS)
