"""Brings a database to this program's revision: forward only, under a lock, so that two starts at once are fine."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from ..errors import StartError
from .schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["bring_forward", "revisions"]

#: Any constant serves; it is the name of the lock in PostgreSQL, the first bytes of "cryptomarket".
LOCK = 0x63727970746F


def bring_forward(connection: Connection) -> None:
    """Run the missing migrations on the connection, which is in a transaction that its owner commits.

    SQLite's owner began it IMMEDIATE, which is the lock; PostgreSQL takes an advisory one that ends with the
    transaction. Either all revisions are there afterwards or none. Raises StartError for a newer database.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    found = _revision(connection)
    if found == HEAD:
        return  # the usual start; Alembic is slow to import
    known = revisions()
    if found is not None and found not in known:
        raise StartError(
            f"the database is of revision {found}, newer than this program, which knows {', '.join(known)}"
        )
    _upgrade(connection)


def revisions() -> list[str]:
    """The revisions this program brings, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it narrates every start at INFO
    command.upgrade(config, "head")
