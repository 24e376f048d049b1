"""Redis, PostgreSQL and the exchange become unreachable and return in every order."""

import itertools
import random
from pathlib import Path

import pytest

from tests.persons.site import ADA

from .environment import running_environment
from .orders import VICTIMS, Walk, circuit, every_order

pytestmark = [pytest.mark.system, pytest.mark.crowd]


def test_the_walk_has_every_change_once() -> None:
    """The short walk has each change between eight sets of dead servers; the long one has every order."""
    dead = list(itertools.accumulate(circuit(), lambda here, victim: here ^ {victim}, initial=frozenset[str]()))
    assert len(set(itertools.pairwise(dead))) == len(circuit()) == 24
    assert len(set(dead)) == 8
    assert dead[-1] == frozenset()
    assert len(set(map(tuple, every_order()))) == 36
    assert all(sorted(order) == sorted(VICTIMS * 2) for order in every_order())


async def test_every_node_behaves_as_documented_with_any_server_dead(tmp_path: Path) -> None:
    """Prices, history, persons and logins behave as in docs/operate.md; all recovers, and nobody is logged out."""
    async with running_environment(tmp_path, 2, [ADA], time_scale=4) as environment:
        walk = Walk(environment, ADA, random.Random(7))
        await walk.begin()
        await walk.go(circuit())
        assert walk.violations == []
        assert environment.unhandled() == []
