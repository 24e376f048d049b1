"""A minute of random faults, checked against all that was received and stored."""

import random
from pathlib import Path

import pytest

from tests.persons.crowd import accounts

from .environment import running_environment
from .storm import Storm

pytestmark = [pytest.mark.system, pytest.mark.crowd]


async def test_a_storm_causes_no_violation(tmp_path: Path) -> None:
    """Nodes, Redis, PostgreSQL and the exchange are killed, paused, cut, full, read-only and restarted."""
    async with running_environment(tmp_path, 3, accounts(3), time_scale=5) as environment:
        storm = Storm()
        await storm.run(environment, random.Random(2026), 20)
        assert storm.violations == [], storm.injected
        assert len(storm.injected) >= 3
