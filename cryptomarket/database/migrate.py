"""Upgrades a database to this program's revision: forward only, under a lock, so that processes may start at once."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from ..errors import StartError
from .locks import MIGRATION_LOCK, lock_until_commit
from .schema import HEAD

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["alembic_config", "revisions", "upgrade"]


def upgrade(connection: Connection) -> None:
    """Run the missing migrations in the connection's transaction, which its owner commits: all of them or none.

    On SQLite the owner must have begun the transaction with BEGIN IMMEDIATE, which is the lock there. Raises StartError
    when the database has a revision that this program does not know.
    """
    lock_until_commit(connection, MIGRATION_LOCK)
    found = _revision(connection)
    if found == HEAD:
        return  # the usual start; importing Alembic is slow
    known = revisions()
    if found is not None and found not in known:
        raise StartError(
            f"the database is of revision {found}, newer than this program, which knows {', '.join(known)}"
        )
    from alembic import command

    logging.getLogger("alembic").setLevel(logging.WARNING)  # at INFO it logs several lines a start
    command.upgrade(alembic_config(connection), "head")


def revisions() -> list[str]:
    """The revisions of this program, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(alembic_config())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def alembic_config(connection: Connection | None = None) -> "Config":
    """Alembic's configuration: our migrations, run on the connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
