"""Make the table of prices and the leader's row."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """One row per (ticker, slot), and one row with the epoch."""
    exact = sa.Numeric() if op.get_bind().dialect.name == "postgresql" else sa.String()
    op.create_table(
        "prices",
        sa.Column("ticker", sa.String(64), primary_key=True),
        sa.Column("timestamp", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("price", exact, nullable=False),
        sa.Column("exchange_timestamp", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(32), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    leader = op.create_table(
        "leader",
        sa.Column(
            "id",
            sa.Integer,
            sa.CheckConstraint("id = 1", name="leader_is_one_row"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(leader, [{"id": 1, "epoch": 0}])
