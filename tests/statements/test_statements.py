"""The list of statements: each is whole, and client and simulator read their numbers from it."""

import re
from dataclasses import fields
from typing import Any

import pytest

from cryptomarket.simulator.switches import Switches
from cryptomarket.statements import STATEMENTS, TOPICS, UNCONFIRMED, Statement
from cryptomarket.statements.statement import EVERY_HOST

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
    assert statement.text[0].isupper() or re.match(r"[a-z_]+[/_]", statement.text)
    assert statement.sentence.endswith(".")
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
