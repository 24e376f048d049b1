"""A short form of `make attack`; its bounds survive a busy machine."""

from pathlib import Path

import pytest

from .promises import promises
from .result import Plan
from .run import attack, report

pytestmark = [pytest.mark.system, pytest.mark.crowd]

#: Bounds of time that only a blocked gateway exceeds.
SHORT = Plan(
    quiet_seconds=3,
    attack_seconds=15,
    streams=100,
    readers=6,
    addresses=50,
    rate=0.1,
    rows=50_000,
    least_seconds=1.0,
    health_seconds=1.0,
)


async def test_honest_users_do_not_notice_the_attacks(tmp_path: Path) -> None:
    """Every promise is held while every attack runs."""
    result = await attack(SHORT, tmp_path)
    broken = [promise for promise in promises(SHORT, result) if not promise.held]
    assert not broken, report(SHORT, result)
