"""The list of statements: each is whole, and client and simulator read their numbers from it."""

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cryptomarket.simulator.switches import Switches
from cryptomarket.statements import STATEMENTS, TOPICS, UNCONFIRMED, Statement
from cryptomarket.statements.statement import EVERY_HOST

from .document import DOCUMENT, document

PACKAGE = Path(__file__).parents[2] / "cryptomarket"
#: Files that are tables of the exchange's numbers themselves.
TABLES = {"error_codes.py", "rpc_errors.py"}

EVERY = list(STATEMENTS.values())


def test_each_constant_has_the_name_of_its_statement() -> None:
    """The constant of a statement is its name in capitals, and no name is used twice."""
    found = [(name, value) for topic in TOPICS for name, value in vars(topic).items() if isinstance(value, Statement)]
    assert [name for name, value in found if name != value.name.upper()] == []
    assert len(found) == len(STATEMENTS)
    assert [topic.__name__ for topic in TOPICS for name, value in vars(topic).items()
            if isinstance(value, Statement) and name not in topic.__all__] == []  # fmt: skip


@pytest.mark.parametrize("statement", EVERY, ids=lambda one: one.name)
def test_a_statement_is_whole(statement: Statement[Any]) -> None:
    """It is a sentence with a source and hosts; an unconfirmed one has other positions, a confirmed one has none."""
    assert statement.text[0].isupper() or re.match(r"[a-z_]+[./_]", statement.text)
    assert statement.sentence.endswith(".")
    assert isinstance(statement.value, bool) == (": {value}." in statement.text)
    assert "{" not in statement.sentence
    assert statement.source
    assert statement.hosts
    assert set(statement.hosts) <= set(EVERY_HOST)
    assert bool(statement.others) != statement.confirmed
    assert statement.value not in statement.others
    assert {type(other) for other in statement.others} <= {type(statement.value)}


def test_each_unconfirmed_statement_is_a_switch() -> None:
    """The simulator has a switch for each statement that nobody confirmed, with the value of the statement."""
    defaults = {field.name: field.default for field in fields(Switches)}
    assert {one.name: one.value for one in UNCONFIRMED} == defaults


def test_the_document_is_up_to_date() -> None:
    """docs/exchange.md is what the statements say now."""
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run `make exchange-document`"


def numbers(statement: Statement[Any]) -> set[float]:
    """The numbers of a statement that say something by their size: small ones mean many things."""
    value = statement.value
    found = [value] if not hasattr(value, "cost") else [value.cost, value.burst, value.refill]
    return {one for one in found if isinstance(one, int | float) and abs(one) > 30_000}


def test_no_number_of_a_statement_is_written_twice() -> None:
    """Client and simulator read the large numbers of statements from there; they do not write them again."""
    known = set().union(*map(numbers, EVERY))
    paths = [path for room in ("deribit", "simulator") for path in sorted((PACKAGE / room).rglob("*.py"))]
    assert [
        f"{path.parent.name}/{path.name}:{node.lineno} writes {node.value}"
        for path in paths
        if path.name not in TABLES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and type(node.value) in (int, float) and node.value in known
    ] == []
