"""Every node is stopped and started again under two thousand browsers."""

import random
from pathlib import Path

import pytest

from tests.persons.crowd import accounts

from .environment import running_house
from .rolling import Rolling

pytestmark = pytest.mark.system


async def test_a_rolling_restart_is_noticed_by_nobody(tmp_path: Path) -> None:
    """No browser closed for good, no tick missing, no slot lost, no log-in failed."""
    async with running_house(
        tmp_path, 3, accounts(3), time_scale=5, drain_seconds=2, max_streams_per_address=100_000
    ) as house:
        rolling = Rolling()
        await rolling.run(house, 2_000, random.Random(1))
        assert rolling.faults == []
        assert len(rolling.away) >= 2_000
        assert len(rolling.price_gaps) == 200
