"""The lease of the leader: one row that says which node leads, until when by the database's own clock.

Plain synchronous functions over a connection, each inside the transaction it is given. Taking the lease counts the
epoch up, and every live write checks the epoch: who was deposed without noticing can write nothing.
"""

from sqlalchemy import BigInteger, ColumnElement, Connection, case, cast, func, literal_column, or_, update

from .schema import leader

__all__ = ["LEASE_SECONDS", "LOCK", "claim", "release", "renew"]

#: How long a leader that says nothing more is believed to live.
LEASE_SECONDS = 3
#: The name of the lock that a leader's session of PostgreSQL holds; any constant serves.
LOCK = 0x6C656164


def _now(dialect: str) -> ColumnElement[int]:
    """Milliseconds by the clock of the database, which all nodes share."""
    if dialect == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger)


def claim(connection: Connection, holder: str, session: int | None, above: int = 0) -> int | None:
    """The next epoch, higher than ``above``, if nobody leads any more; None while somebody does.

    Nobody leads when the lease ran out; or at once, when the one who leads did so by holding the lock, and the
    ``session`` that holds it now is ours.
    """
    now = _now(connection.dialect.name)
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


def renew(connection: Connection, holder: str, epoch: int, session: int | None) -> bool:
    """Lead for the next seconds; False when somebody else leads now."""
    now = _now(connection.dialect.name)
    mine = (leader.c.holder == holder) & (leader.c.epoch == epoch)
    renewed = update(leader).where(mine).values(expires=now + LEASE_SECONDS * 1000, session=session)
    return connection.execute(renewed).rowcount == 1


def release(connection: Connection, holder: str, epoch: int) -> None:
    """Lead no more: whoever asks next does."""
    mine = (leader.c.holder == holder) & (leader.c.epoch == epoch)
    connection.execute(update(leader).where(mine).values(holder=None, session=None, expires=0))
