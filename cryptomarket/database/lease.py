"""The lease of the leader: one row with the epoch, the holder and the expiry by the database's own clock.

Taking the lease raises the epoch, and every live write checks the epoch: a deposed leader that has not noticed cannot
write. On PostgreSQL the leader also keeps a session open that holds a lock, because the database sees a dead process at
once by its closed connection. It does not see a process that stands still; for that there is the expiry.
"""

from collections.abc import Callable

import anyio
from sqlalchemy import Connection, case, or_, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ..errors import DatabaseUnavailable
from .dialects import milliseconds_now
from .engine import CONNECT_SECONDS, Database, translate_errors
from .locks import LEADER_LOCK
from .schema import leader

__all__ = ["LEASE_SECONDS", "DatabaseLease", "is_newest_epoch", "take_epoch"]

#: How long a lease lasts unless it is renewed.
LEASE_SECONDS = 3
#: How often the session that holds the lock is checked, and the pause before a lost one is replaced.
CHECK_SECONDS = 1.0


class DatabaseLease:
    """The lease of one database. The methods that write raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take_epoch(self) -> int:
        """The next epoch, for a process without other nodes."""
        return await self._database.write(take_epoch)

    async def claim_lease(self, holder: str, session: int | None, above: int = 0) -> int | None:
        """Take the lease if it is free; returns the next epoch, which is higher than `above`, else None.

        It is free when it has expired. It is also free when its holder had the lock and `session`, a session of ours,
        has the lock now.
        """
        return await self._database.write(_claim, holder, session, above)

    async def renew_lease(self, holder: str, epoch: int, session: int | None) -> bool:
        """Extend the lease by LEASE_SECONDS; False when another node has it."""
        return await self._database.write(_renew, holder, epoch, session)

    async def release_lease(self, holder: str, epoch: int) -> None:
        """Free the lease at once."""
        await self._database.write(_release, holder, epoch)

    async def hold_lock(self, on_change: Callable[[int | None], None]) -> None:
        """Wait for the leader's lock in a session of our own and hold it until cancelled.

        Calls `on_change` with the session's number when it has the lock, with None when the session is lost. SQLite has
        no such lock; there the lease alone decides.
        """
        if self._database.dialect != "postgresql":
            await anyio.sleep_forever()
        while True:
            try:
                await self._hold_in_one_session(on_change)
            except DatabaseUnavailable:
                on_change(None)
            await anyio.sleep(CHECK_SECONDS)

    async def _hold_in_one_session(self, on_change: Callable[[int | None], None]) -> None:
        # A connection outside the pools and without a statement limit: it waits for the lock as long as it takes.
        arguments = {"timeout": CONNECT_SECONDS, "server_settings": {"application_name": "cryptomarket leader"}}
        engine = create_async_engine(
            self._database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments
        )
        with translate_errors(self._database.place):
            try:
                async with engine.connect() as connection:
                    await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LEADER_LOCK})
                    on_change((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
                    while True:
                        await anyio.sleep(CHECK_SECONDS)
                        with anyio.fail_after(CONNECT_SECONDS):
                            await connection.execute(text("SELECT 1"))
            finally:
                with anyio.CancelScope(shield=True):
                    await engine.dispose()


def take_epoch(connection: Connection) -> int:
    """Raise the epoch and return it, for a process without other nodes; lower epochs cannot write from then on."""
    epoch: int = connection.execute(
        update(leader).values(epoch=leader.c.epoch + 1).returning(leader.c.epoch)
    ).scalar_one()
    return epoch


def is_newest_epoch(connection: Connection, epoch: int) -> bool:
    """Whether no higher epoch was taken; it stays so to the end of the transaction.

    The row is locked: on PostgreSQL the next leader waits for our commit. SQLite has one writer at a time.
    """
    newest = select(leader.c.epoch).where(leader.c.epoch == epoch).with_for_update(read=True)
    return connection.execute(newest).first() is not None


def _claim(connection: Connection, holder: str, session: int | None, above: int) -> int | None:
    now = milliseconds_now(connection.dialect.name)
    free = leader.c.expires <= now
    if session is not None:
        free = or_(free, leader.c.session != session)
    last = case((leader.c.epoch > above, leader.c.epoch), else_=above)
    row = connection.execute(
        update(leader)
        .where(free)
        .values(epoch=last + 1, holder=holder, session=session, expires=now + LEASE_SECONDS * 1000)
        .returning(leader.c.epoch)
    ).first()
    return row.epoch if row else None


def _renew(connection: Connection, holder: str, epoch: int, session: int | None) -> bool:
    expires = milliseconds_now(connection.dialect.name) + LEASE_SECONDS * 1000
    ours = (leader.c.holder == holder) & (leader.c.epoch == epoch)
    return connection.execute(update(leader).where(ours).values(expires=expires, session=session)).rowcount == 1


def _release(connection: Connection, holder: str, epoch: int) -> None:
    ours = (leader.c.holder == holder) & (leader.c.epoch == epoch)
    connection.execute(update(leader).where(ours).values(holder=None, session=None, expires=0))
