"""SQL that SQLite and PostgreSQL write differently, under one name each."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Insert, Table, Text, cast, func, literal, literal_column
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["FormattedText", "insert_into", "milliseconds_now", "replace_rows"]


class FormattedText(FunctionElement[str]):
    """A pattern in which each %s is replaced by the text of a value; it costs half as much as concatenation."""

    type = Text()
    inherit_cache = True

    def __init__(self, pattern: str, *values: ColumnElement[Any]) -> None:
        super().__init__(literal(pattern, Text), *values)


@compiles(FormattedText, "postgresql")
def _format(element: FormattedText, compiler: SQLCompiler, **given: Any) -> str:
    return f"format({compiler.process(element.clauses, **given)})"


@compiles(FormattedText, "sqlite")
def _printf(element: FormattedText, compiler: SQLCompiler, **given: Any) -> str:
    return f"printf({compiler.process(element.clauses, **given)})"


def milliseconds_now(dialect: str) -> ColumnElement[int]:
    """UNIX milliseconds by the database's clock, which all nodes share."""
    if dialect == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return literal_column("CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)", BigInteger)


def insert_into(dialect: str, table: Table) -> Any:
    """An INSERT that can have an ON CONFLICT clause."""
    return (postgresql if dialect == "postgresql" else sqlite).insert(table)


def replace_rows(dialect: str, table: Table) -> Insert:
    """An INSERT that replaces the row with the same primary key."""
    statement = insert_into(dialect, table)
    others = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    replaced: Insert = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=others)
    return replaced
