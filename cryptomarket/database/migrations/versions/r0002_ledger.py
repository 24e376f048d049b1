"""Make the ledger, bars, candles and jobs; enter what is already stored into the ledger.

Revision 0001 kept no step, so the step of a ticker is the smallest distance of two of its rows. Candles of these rows
are made by the first start, which finds none.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

OHLC = ("open", "high", "low", "close")

#: Stretches of each ticker and source without a hole, by comparing each row with the one before.
FILL = """
INSERT INTO ledger (ticker, start, "end", kind, step, source, reason)
WITH steps AS (
  SELECT ticker, MIN(gap) AS step FROM (
    SELECT ticker, timestamp - LAG(timestamp) OVER (PARTITION BY ticker ORDER BY timestamp) AS gap FROM prices
  ) AS gaps GROUP BY ticker
), marked AS (
  SELECT p.ticker, p.timestamp, p.source, COALESCE(s.step, 60) AS step,
    CASE WHEN p.timestamp - LAG(p.timestamp) OVER w = COALESCE(s.step, 60) AND p.source = LAG(p.source) OVER w
      THEN 0 ELSE 1 END AS begins
  FROM prices AS p JOIN steps AS s ON s.ticker = p.ticker
  WINDOW w AS (PARTITION BY p.ticker ORDER BY p.timestamp)
), numbered AS (
  SELECT marked.*, SUM(begins) OVER (PARTITION BY ticker ORDER BY timestamp) AS stretch FROM marked
), stretches AS (
  SELECT ticker, source, MIN(timestamp) AS start, MAX(timestamp) + MAX(step) AS stop, MAX(step) AS step
  FROM numbered GROUP BY ticker, source, stretch
)
SELECT ticker, start, stop, CASE source WHEN 'live' THEN 'observed' ELSE 'backfilled' END, step,
  CASE source WHEN 'live' THEN NULL ELSE source END, NULL FROM stretches
UNION ALL
SELECT ticker, stop, following, 'missing', step, NULL, 'unrecorded' FROM (
  SELECT ticker, stop, step, LEAD(start) OVER (PARTITION BY ticker ORDER BY start) AS following FROM stretches
) AS holes WHERE following > stop
"""


def upgrade() -> None:
    """Four tables beside the prices, and the ledger of what is stored."""
    exact = sa.Numeric() if op.get_bind().dialect.name == "postgresql" else sa.String()
    op.create_table(
        "ledger",
        sa.Column("ticker", sa.String(64), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("source", sa.String(32)),
        sa.Column("reason", sa.String(16)),
        sqlite_with_rowid=False,
    )
    op.create_index("ledger_by_end", "ledger", ["ticker", "end"])
    op.create_table(
        "bars",
        sa.Column("ticker", sa.String(64), primary_key=True),
        sa.Column("timestamp", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("part", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        *(sa.Column(name, exact, nullable=False) for name in OHLC),
        sa.Column("count", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "candles",
        sa.Column("ticker", sa.String(64), primary_key=True),
        sa.Column("resolution", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("timestamp", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, exact, nullable=False) for name in OHLC),
        sa.Column("count", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("finished", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(FILL)
