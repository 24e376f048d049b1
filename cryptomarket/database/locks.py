"""Advisory locks of PostgreSQL. SQLite needs none of them: it has one writer at a time."""

from sqlalchemy import Connection, text

__all__ = ["LEADER_LOCK", "LEDGER_LOCK", "MIGRATION_LOCK", "lock_until_commit"]

# Any constants serve as names, as long as they differ.
MIGRATION_LOCK = 0x63727970746F  # of a start that upgrades the database
LEDGER_LOCK = 0x6C6564676572  # of a transaction that changes the ledger: recorder, backfill, command line
LEADER_LOCK = 0x6C656164  # of the session that the leader keeps open


def lock_until_commit(connection: Connection, lock: int) -> None:
    """Wait for a lock and hold it to the end of the transaction."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
