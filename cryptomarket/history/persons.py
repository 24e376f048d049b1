"""Persons seen, in the database: when somebody first and last logged in; the operator's to read, prune and erase.

Plain synchronous functions over a connection, each inside the transaction it is given.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, case, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from ..database.schema import persons

__all__ = ["SeenRow", "all_seen", "forget_person", "prune_persons", "write_seen"]


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A person, and when it was seen first and last (UNIX seconds); never anything secret."""

    person_id: str
    username: str
    email: str
    first: int
    last: int


def write_seen(connection: Connection, seen: Iterable[SeenRow]) -> None:
    """Enter persons; who is known already keeps the first moment and gets the later last one, with today's name."""
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


def prune_persons(connection: Connection, before: int) -> None:
    """Delete persons who were not seen since the moment (UNIX seconds)."""
    connection.execute(delete(persons).where(persons.c.last_seen < before))


def forget_person(connection: Connection, who: str) -> list[str]:
    """Delete a person by id, username or e-mail; the ids of those that were deleted."""
    chosen = or_(persons.c.person_id == who, persons.c.username == who, persons.c.email == who)
    return [row.person_id for row in connection.execute(delete(persons).where(chosen).returning(persons.c.person_id))]


def all_seen(connection: Connection) -> list[SeenRow]:
    """Everybody, the last to be seen first."""
    return [SeenRow(*row) for row in connection.execute(select(persons).order_by(persons.c.last_seen.desc()))]
