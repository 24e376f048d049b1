"""A day of logins, coarse: whole 27 hours of a few persons; ``make login-day`` looks at every minute of fifty."""

from pathlib import Path

import pytest

from .login_day import run_day


@pytest.mark.system
async def test_d1_for_27_hours_nobody_is_lost_and_no_right_is_added(tmp_path: Path) -> None:
    """Who is logged in, the balances and the page agree over restarts, evictions and changed keys."""
    findings = await run_day(tmp_path, count=6, step_seconds=600)
    assert findings.clean, findings
    assert findings.steps >= 162
    assert findings.renewals > 70
    assert findings.shown_problems
    # The oldest of 33 browsers, the 17th session of a key, a revoked key, a narrowed key.
    assert findings.ended == 4
    assert findings.restarts == 5
