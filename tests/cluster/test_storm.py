"""Ten minutes of faults by a seed, a minute of six seconds, and the checker over all that was heard and stored."""

import random
from pathlib import Path

import pytest

from tests.persons.crowd import accounts

from .environment import running_house
from .storm import Storm

pytestmark = pytest.mark.system


async def test_a_storm_leaves_nothing_wrong(tmp_path: Path) -> None:
    """Nodes, Redis, PostgreSQL and the exchange are killed, paused, cut, full, read-only and restarted."""
    async with running_house(tmp_path, 3, accounts(3), time_scale=5) as house:
        storm = Storm()
        await storm.blow(house, random.Random(2026), 60)
        assert storm.faults == [], storm.struck
        assert len(storm.struck) >= 10
