"""Writes who logged in, and who is logged in, to the persons table: within seconds, and at a stop."""

import contextlib
from collections.abc import AsyncIterator, Callable

import anyio
from anyio.abc import TaskStatus

from ..errors import CacheUnavailable, DatabaseUnavailable
from .person import Person
from .seen_repository import SeenPerson, SeenRepository, seen_person

__all__ = ["WRITE_SECONDS", "LastSeen"]

DAY_SECONDS = 86_400
#: Persons are written together, so long after the first of them changed.
WRITE_SECONDS = 2.0
RETRY_SECONDS = 5.0
#: The bound of the last write, at a stop, which may take 4 seconds beside the drain window in all.
STOP_SECONDS = 1.5


class LastSeen:
    """Persons who changed since the last write.

    With ``lasting`` false every login ends with this process. Rows not seen for ``keep_days`` are deleted once a day;
    None keeps them for ever.
    """

    def __init__(self, repository: SeenRepository, *, lasting: bool, keep_days: int | None = None) -> None:
        self._repository = repository
        self._lasting = lasting
        self._keep_days = keep_days
        self._seen: dict[str, SeenPerson] = {}
        #: Persons whose login ended and who did not change otherwise.
        self._ended: set[str] = set()
        self._recorded = anyio.Event()

    def record(self, person_id: str, person: Person | None) -> None:
        """Note that the person logged in or was seen; None: that the login ended."""
        if person is None:
            self._ended.add(person_id)
        else:
            self._ended.discard(person_id)
            self._seen[person_id] = seen_person(person)
        self._recorded.set()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Write what was recorded, until cancelled and once more."""
        task_status.started()
        try:
            await self._end_all_if_lost()
            while True:
                await self._recorded.wait()
                await anyio.sleep(WRITE_SECONDS)
                self._recorded = anyio.Event()
                await self._write_until_done()
        finally:
            with anyio.move_on_after(STOP_SECONDS, shield=True), contextlib.suppress(DatabaseUnavailable):
                await self.write()
                if not self._lasting:
                    await self._repository.end_all()

    async def _end_all_if_lost(self) -> None:
        """End in the table what a process that was killed could not end."""
        while not self._lasting:
            try:
                await self._repository.end_all()
            except DatabaseUnavailable:
                await anyio.sleep(RETRY_SECONDS)
            else:
                return

    async def _write_until_done(self) -> None:
        while True:
            try:
                await self.write()
            except DatabaseUnavailable:  # the recorder logs it
                await anyio.sleep(RETRY_SECONDS)
            else:
                return

    async def write(self) -> None:
        """Write what was recorded. Raises DatabaseUnavailable; the entries are then kept for the next call."""
        seen, ended = dict(self._seen), set(self._ended)
        if not seen and not ended:
            return
        await self._repository.write(list(seen.values()), sorted(ended))
        self._seen = {one: entry for one, entry in self._seen.items() if seen.get(one) != entry}
        self._ended -= ended

    async def write_daily(self, logged_in: Callable[[], AsyncIterator[Person]]) -> None:
        """Write everybody who is logged in, in case a write was lost, and delete rows past their retention.

        Raises DatabaseUnavailable.
        """
        with contextlib.suppress(CacheUnavailable):  # those of this process are recorded all the same
            async for person in logged_in():
                self.record(person.person_id, person)
        await self.write()
        if self._keep_days:
            await self._repository.prune(self._keep_days * DAY_SECONDS)
