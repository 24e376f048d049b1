"""Let the leader's row say who leads, until when, and by which session of the database."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Three columns that are empty until nodes share the database."""
    op.add_column("leader", sa.Column("holder", sa.String(64)))
    op.add_column("leader", sa.Column("expires", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("leader", sa.Column("session", sa.BigInteger))
