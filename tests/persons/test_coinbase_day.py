"""Hours of many persons of Coinbase through restarts and outages; the whole day is `make login-day`."""

from .coinbase_day import run_coinbase_day


async def test_hours_at_coinbase_lose_nobody_and_show_no_secret() -> None:
    """Everybody but the one who revoked stays logged in and reads balances; the budget is kept; no token is seen."""
    findings = await run_coinbase_day(30, hours=4.0)
    assert findings.clean, findings
    assert (findings.restarts, findings.revoked) == (5, 1)
    assert findings.renewals > 29 * 15
    assert findings.refreshes > 29 * 2
    assert findings.searched > 300
