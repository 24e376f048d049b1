"""Every node is stopped and replaced while two thousand browsers read."""

import random
from pathlib import Path

import pytest

from tests.persons.crowd import accounts

from .environment import running_environment
from .rolling import RollingRestart

pytestmark = [pytest.mark.system, pytest.mark.crowd]


async def test_a_rolling_restart_loses_nothing(tmp_path: Path) -> None:
    """No browser is closed for good, no tick or slot is missing, and no login fails."""
    async with running_environment(
        tmp_path, 3, accounts(3), time_scale=5, drain_seconds=2, max_streams_per_address=100_000
    ) as environment:
        restart = RollingRestart()
        await restart.run(environment, 2_000, random.Random(1))
        assert restart.violations == []
        assert len(restart.away) >= 2_000
        assert len(restart.price_gaps) == 200
