"""The tables, the same for SQLite and PostgreSQL. It knows no connection and no statement."""

from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Column, Dialect, Index, Integer, MetaData, Numeric, String, Table
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..model import plain

__all__ = ["HEAD", "ExactPrice", "bars", "candles", "jobs", "leader", "ledger", "metadata", "persons", "prices"]

#: The revision that this program works with; a test compares it with the newest migration.
HEAD = "0005"


class ExactPrice(TypeDecorator[Decimal]):
    """A decimal that keeps every digit, trailing zeros included.

    On PostgreSQL it is NUMERIC without a precision. SQLite's NUMERIC is a binary float beyond 15 digits, so there it is
    text; no statement orders or adds prices.
    """

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Decimal]:
        """NUMERIC where it is exact, text elsewhere."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else String())  # type: ignore[arg-type]

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | str | None:
        """Convert a decimal to what the driver stores."""
        return value if value is None or dialect.name == "postgresql" else plain(value)

    def process_result_value(self, value: Decimal | str | None, dialect: Dialect) -> Decimal | None:
        """Convert what the driver returns to a decimal."""
        return Decimal(value) if isinstance(value, str) else value


metadata = MetaData()

#: One row for each ticker and slot. Pages are in the order of the key, so SQLite needs no second b-tree.
prices = Table(
    "prices",
    metadata,
    Column("ticker", String(64), primary_key=True),
    Column("timestamp", BigInteger, primary_key=True, autoincrement=False),  # the slot, UNIX seconds
    Column("price", ExactPrice, nullable=False),
    Column("exchange_timestamp", BigInteger, nullable=False),  # of the tick, UNIX milliseconds
    Column("source", String(32), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: One row: the epoch of the newest leader. A write with a lower epoch selects nothing and so writes nothing.
leader = Table(
    "leader",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="leader_is_one_row"), primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    # The lease, where nodes share the database: its holder, its expiry (UNIX ms), its session of PostgreSQL.
    Column("holder", String(64)),
    Column("expires", BigInteger, nullable=False, server_default="0"),
    Column("session", BigInteger),
)

#: What is known of each ticker, as intervals without overlap or gap; written in the transaction of the prices.
ledger = Table(
    "ledger",
    metadata,
    Column("ticker", String(64), primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("end", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("step", Integer, nullable=False),  # seconds of a slot when it was written
    Column("source", String(32)),
    Column("reason", String(16)),
    Index("ledger_by_end", "ticker", "end"),
    sqlite_with_rowid=False,
)

#: The ticks of one minute that one leader received; late ticks have a `part` of their own.
bars = Table(
    "bars",
    metadata,
    Column("ticker", String(64), primary_key=True),
    Column("timestamp", BigInteger, primary_key=True, autoincrement=False),  # the minute, UNIX seconds
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("part", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),  # exchange timestamps, UNIX milliseconds
    Column("last", BigInteger, nullable=False),
    Column("open", ExactPrice, nullable=False),
    Column("high", ExactPrice, nullable=False),
    Column("low", ExactPrice, nullable=False),
    Column("close", ExactPrice, nullable=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: Candles; every row can be computed again from `prices` and `bars`.
candles = Table(
    "candles",
    metadata,
    Column("ticker", String(64), primary_key=True),
    Column("resolution", Integer, primary_key=True, autoincrement=False),  # seconds
    Column("timestamp", BigInteger, primary_key=True, autoincrement=False),
    Column("open", ExactPrice, nullable=False),
    Column("high", ExactPrice, nullable=False),
    Column("low", ExactPrice, nullable=False),
    Column("close", ExactPrice, nullable=False),
    Column("count", Integer, nullable=False),
    sqlite_with_rowid=False,
)

#: The last success of each daily job, so that a missed run is repeated.
jobs = Table(
    "jobs",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("day", BigInteger, nullable=False),  # the midnight it was due at, UNIX seconds
    Column("finished", BigInteger, nullable=False),  # UNIX seconds
    sqlite_with_rowid=False,
)

#: Persons who logged in, for the operator: when first and last (UNIX seconds), until when they are logged in as the
#: gateway last wrote (null: not logged in), and never anything secret.
persons = Table(
    "persons",
    metadata,
    Column("person_id", String(64), primary_key=True),
    Column("username", String(256), nullable=False),
    Column("email", String(320), nullable=False),
    Column("first_seen", BigInteger, nullable=False),
    Column("last_seen", BigInteger, nullable=False),
    Column("logged_in_until", BigInteger),
    sqlite_with_rowid=False,
)
