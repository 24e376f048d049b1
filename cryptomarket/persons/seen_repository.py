"""The persons table: when each person was first and last seen, for the operator to list, prune and erase.

Nothing secret is stored. The functions run inside the transaction of the connection that they are given.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ..database.engine import Database
from ..database.schema import persons
from .person import Person

__all__ = ["SeenPerson", "SeenRepository", "delete_person", "list_seen", "seen_person"]


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """A row of the table; times are UNIX seconds.

    ``logged_in_until`` is when the login ends unless it is used again, None for a person who is not logged in.
    """

    person_id: str
    username: str
    email: str
    first: int
    last: int
    logged_in_until: int | None = None


def seen_person(person: Person) -> SeenPerson:
    """Return the row of a person who is logged in."""
    return SeenPerson(person.person_id, person.username, person.email, person.first, person.used, person.expires_at)


class SeenRepository:
    """Writes and prunes the table. All methods raise DatabaseUnavailable."""

    def __init__(self, database: Database, *, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._wall = wall

    async def write(self, seen: Sequence[SeenPerson], ended: Sequence[str] = ()) -> None:
        """Insert persons; of a known one keep the earlier ``first`` and the later ``last``, and update the rest.

        ``ended`` are ids of persons who are not logged in any more.
        """
        await self._database.write(_write, seen, ended)

    async def end_all(self) -> None:
        """Write that nobody is logged in."""
        await self._database.write(_end_all)

    async def prune(self, seconds: int) -> None:
        """Delete persons who were not seen for so long."""
        await self._database.write(_prune, int(self._wall()) - seconds)


def _write(connection: Connection, seen: Sequence[SeenPerson], ended: Sequence[str]) -> None:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
    for one in sorted(seen, key=lambda one: one.person_id):  # nodes that lock rows in one order never wait in a circle
        statement = insert(persons).values(
            person_id=one.person_id,
            username=one.username[:256],
            email=one.email[:320],
            first_seen=one.first,
            last_seen=one.last,
            logged_in_until=one.logged_in_until,
        )
        new, old = statement.excluded, persons.c
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["person_id"],
                set_={
                    "username": new.username,
                    "email": new.email,
                    "first_seen": case((new.first_seen < old.first_seen, new.first_seen), else_=old.first_seen),
                    "last_seen": case((new.last_seen > old.last_seen, new.last_seen), else_=old.last_seen),
                    "logged_in_until": new.logged_in_until,
                },
            )
        )
    for person_id in ended:
        connection.execute(update(persons).where(persons.c.person_id == person_id).values(logged_in_until=None))


def _end_all(connection: Connection) -> None:
    connection.execute(update(persons).where(persons.c.logged_in_until.is_not(None)).values(logged_in_until=None))


def _prune(connection: Connection, before: int) -> None:
    connection.execute(delete(persons).where(persons.c.last_seen < before))


def delete_person(connection: Connection, identifier: str) -> list[str]:
    """Delete the persons with this id, username or e-mail; return the ids of the deleted rows."""
    chosen = or_(persons.c.person_id == identifier, persons.c.username == identifier, persons.c.email == identifier)
    return [row.person_id for row in connection.execute(delete(persons).where(chosen).returning(persons.c.person_id))]


def list_seen(connection: Connection) -> list[SeenPerson]:
    """All rows, the most recently seen first."""
    return [SeenPerson(*row) for row in connection.execute(select(persons).order_by(persons.c.last_seen.desc()))]
