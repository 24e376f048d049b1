"""The persons table: when each person first and last logged in, for the operator to list, prune and erase.

Nothing secret is stored. The functions run inside the transaction of the connection that they are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from ..database.engine import Database
from ..database.schema import persons

__all__ = ["SeenPerson", "SeenRepository", "delete_person", "list_seen"]


@dataclass(frozen=True, slots=True)
class SeenPerson:
    """A row of the table; ``first`` and ``last`` are UNIX seconds."""

    person_id: str
    username: str
    email: str
    first: int
    last: int


class SeenRepository:
    """Writes and prunes the table. Both methods raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, seen: Sequence[SeenPerson]) -> None:
        """Insert persons; of a known one keep the earlier ``first`` and the later ``last``, and update the names."""
        await self._database.write(_write, seen)

    async def prune(self, before: int) -> None:
        """Delete persons last seen before the moment (UNIX seconds)."""
        await self._database.write(_prune, before)


def _write(connection: Connection, seen: Sequence[SeenPerson]) -> None:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
    for one in seen:
        statement = insert(persons).values(
            person_id=one.person_id,
            username=one.username[:256],
            email=one.email[:320],
            first_seen=one.first,
            last_seen=one.last,
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
                },
            )
        )


def _prune(connection: Connection, before: int) -> None:
    connection.execute(delete(persons).where(persons.c.last_seen < before))


def delete_person(connection: Connection, identifier: str) -> list[str]:
    """Delete the persons with this id, username or e-mail; return the ids of the deleted rows."""
    chosen = or_(persons.c.person_id == identifier, persons.c.username == identifier, persons.c.email == identifier)
    return [row.person_id for row in connection.execute(delete(persons).where(chosen).returning(persons.c.person_id))]


def list_seen(connection: Connection) -> list[SeenPerson]:
    """All rows, the most recently seen first."""
    return [SeenPerson(*row) for row in connection.execute(select(persons).order_by(persons.c.last_seen.desc()))]
