"""What an operator does to the cache from outside: wrap everything with the newest key, forget a person."""

from .browser_sessions import PERSON, SESSION, BrowserSessions
from .cache import Cache
from .vault import CannotOpen, Vault

__all__ = ["forget", "rewrap_all"]

#: A record that changes while it is rewrapped is read again, so often at most.
TRIES = 10


async def rewrap_all(cache: Cache, vault: Vault) -> tuple[int, int]:
    """Wrap the key of every record with the newest of the operator's keys, while gateways read and write.

    Gives how many were wrapped anew, and how many do not open with any of the keys; those are left as they are.
    """
    done = refused = 0
    for prefix in (PERSON % "", SESSION % ""):
        async for name in cache.names(prefix):
            for _ in range(TRIES):
                (record,) = await cache.get(name)
                if record is None:
                    break  # it ended meanwhile
                try:
                    again = vault.rewrap(record)
                except CannotOpen:
                    refused += 1
                    break
                if await cache.swap(name, record, again):
                    done += 1
                    break
    return done, refused


async def forget(sessions: BrowserSessions, who: str) -> list[str]:
    """End the logins of everybody with this id, username or e-mail; the ids. Their streams are told within a minute."""
    found = [one.person_id async for one in sessions.persons() if who in (one.person_id, one.username, one.email)]
    for person_id in found:
        await sessions.end(person_id)
    return found
