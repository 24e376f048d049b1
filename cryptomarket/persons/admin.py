"""What an operator does from outside the gateway: rotate keys, list who is logged in, end a person's login."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from ..model import SessionChanged
from .browser_sessions import PERSON, SESSION, BrowserSessions
from .cache import Cache
from .login_secrets import PREFIX as LOGIN
from .notifications import FORGOTTEN, LOGGED_OUT
from .person import Person
from .seen_repository import SeenPerson, seen_person
from .vault import CannotOpen, Vault

__all__ = ["end_logins", "of_old_keys", "persons_seen", "rewrap_all"]

#: Attempts at a record that gateways change meanwhile.
MAX_ATTEMPTS = 10


async def rewrap_all(cache: Cache, vault: Vault) -> tuple[int, int]:
    """Wrap the key of every record with the newest operator key, while gateways read and write.

    Returns how many records were wrapped, and how many cannot be opened with any key; those stay unchanged.
    """
    wrapped = unreadable = 0
    for prefix in (PERSON % "", SESSION % ""):
        async for name in cache.names(prefix):
            for _ in range(MAX_ATTEMPTS):
                (record,) = await cache.get(name)
                if record is None:
                    break  # it expired or was deleted
                try:
                    rewrapped = vault.rewrap(record)
                except CannotOpen:
                    unreadable += 1
                    break
                if await cache.swap(name, record, rewrapped):
                    wrapped += 1
                    break
    return wrapped, unreadable


async def of_old_keys(cache: Cache, newest: Vault, every: Vault) -> int:
    """The records that open with ``every`` operator key but not with the ``newest`` alone, as the first vault has it.

    Those of logins in progress are among them; `rewrap_all` leaves them, because they end within minutes.
    """
    found = 0
    for prefix in (PERSON % "", SESSION % "", LOGIN):
        async for name in cache.names(prefix):
            (record,) = await cache.get(name)
            if record is not None and not _opens(newest, name, record) and _opens(every, name, record):
                found += 1
    return found


def _opens(vault: Vault, name: str, record: bytes) -> bool:
    try:
        vault.open(name, record)
    except CannotOpen:
        return False
    return True


def persons_seen(
    rows: Sequence[SeenPerson], logged_in: Sequence[Person] | None, *, wall: Callable[[], float] = time.time
) -> list[SeenPerson]:
    """Return the rows of the table and who is logged in now, the most recently seen first.

    ``logged_in`` are the persons in the cache, who may have no row yet; None: what the rows say of them counts.
    """
    now = int(wall())
    if logged_in is None:
        return [row if (row.logged_in_until or 0) > now else replace(row, logged_in_until=None) for row in rows]
    found = {row.person_id: replace(row, logged_in_until=None) for row in rows}
    for person in logged_in:
        entry = seen_person(person)
        row = found.get(person.person_id, entry)
        found[person.person_id] = replace(entry, first=min(row.first, entry.first), last=max(row.last, entry.last))
    return sorted(found.values(), key=lambda one: -one.last)


async def end_logins(
    sessions: BrowserSessions, identifier: str, publish: Callable[[SessionChanged], Awaitable[None]]
) -> list[str]:
    """Log out the persons with this id, username or e-mail, and ``publish`` it to their streams; return their ids."""
    persons = [one async for one in sessions.logged_in() if identifier in (one.person_id, one.username, one.email)]
    for person in persons:
        ended = await sessions.log_out(person.person_id)
        if ended:  # a message without sessions would mean something else
            await publish(SessionChanged(ended, LOGGED_OUT, FORGOTTEN))
    return [person.person_id for person in persons]
