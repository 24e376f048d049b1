"""Redis, PostgreSQL and the exchange die and return along every way from one set of dead to the next."""

import itertools
import random
from pathlib import Path

import pytest

from tests.persons.site import ADA

from .environment import running_house
from .orders import VICTIMS, Walk, circuit, every_order

pytestmark = pytest.mark.system


def test_the_walk_goes_every_way_once() -> None:
    """From each of the eight sets of dead to each neighbour; the long walk has every order of dying and returning."""
    dead = list(itertools.accumulate(circuit(), lambda here, victim: here ^ {victim}, initial=frozenset[str]()))
    assert len(set(itertools.pairwise(dead))) == len(circuit()) == 24
    assert len(set(dead)) == 8
    assert dead[-1] == frozenset()
    assert len(set(map(tuple, every_order()))) == 36
    assert all(sorted(order) == sorted(VICTIMS * 2) for order in every_order())


async def test_every_node_does_what_is_written_whoever_is_dead(tmp_path: Path) -> None:
    """Prices, history, persons and log-ins as docs/operate.md says; all heals, and nobody is logged out."""
    async with running_house(tmp_path, 2, [ADA], time_scale=4) as house:
        walk = Walk(house, ADA, random.Random(7))
        await walk.begin()
        await walk.go(circuit())
        assert walk.faults == []
        assert house.unhandled() == []
