"""The leader's lock: a session of PostgreSQL that waits for it, and holds it for as long as the node lives.

The database sees a dead process at once, because its connection closes; a lease alone is known to be over after
seconds. It does not see a process that stands still: for that there is the lease.
"""

from collections.abc import Callable

import anyio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from ..errors import DatabaseUnavailable
from .engine import CONNECT_SECONDS, Database, translated
from .lease import LOCK

__all__ = ["hold_lock"]

#: How often the session is asked for a sign of life, and how long after a failure another one is opened.
LOOK_SECONDS = 1.0


async def hold_lock(database: Database, held: Callable[[int | None], None]) -> None:
    """Tell the number of the session that holds the lock, None when it is lost, until cancelled."""
    if database.dialect != "postgresql":
        await anyio.sleep_forever()
    while True:
        try:
            await _one_session(database, held)
        except DatabaseUnavailable:
            held(None)
        await anyio.sleep(LOOK_SECONDS)


async def _one_session(database: Database, held: Callable[[int | None], None]) -> None:
    # Of its own and without a time limit: waiting for the lock is what it is for.
    arguments = {"timeout": CONNECT_SECONDS, "server_settings": {"application_name": "cryptomarket leader"}}
    engine = create_async_engine(database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=arguments)
    with translated(database.place):
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
                held((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
                while True:
                    await anyio.sleep(LOOK_SECONDS)
                    with anyio.fail_after(CONNECT_SECONDS):
                        await connection.execute(text("SELECT 1"))
        finally:
            with anyio.CancelScope(shield=True):
                await engine.dispose()
