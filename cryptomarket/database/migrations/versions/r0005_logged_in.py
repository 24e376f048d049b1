"""Until when a person is logged in."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """A column that is empty for persons who are not logged in."""
    op.add_column("persons", sa.Column("logged_in_until", sa.BigInteger))
