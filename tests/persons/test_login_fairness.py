"""Wrong logins of some addresses delay neither logins of others, nor renewals, nor prices."""

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest

from cryptomarket.simulator.switches import Switches
from tests.processes import eventually
from tests.reader import reading

from .crowd import accounts
from .login_attack import Client, HonestReport, address, attack, honest_login
from .site import ADA, PersonSite, connection_event, running_persons


def counted(site: PersonSite, name: str) -> int:
    """A counter of persons."""
    statistics: Any = site.gateway.status.statistics()
    return int(statistics["persons"][name])


@pytest.mark.system
async def test_wrong_logins_of_six_addresses_delay_nobody(tmp_path: Path) -> None:
    """120 at once, and while more come honest ones from elsewhere are served: few wrong ones go before each.

    Served by time of acceptance, the first honest one would come after all 120.
    """
    persons, report, statuses = accounts(5), HonestReport(), Counter[int]()
    async with running_persons(tmp_path, accounts=persons, logins_per_minute=20) as site:

        async def wrong(number: int) -> None:
            statuses[(await Client(site.url, address(number % 6)).post(f"wrong-{number}", "wrong"))[0]] += 1

        async with anyio.create_task_group() as tasks:
            for number in range(120):
                tasks.start_soon(wrong, number)
        # On a busy machine the first failures shorten the minute of their addresses before all have come.
        assert statuses[202] >= 100
        assert statuses.keys() <= {202, 429}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attack, site.url, 6, 3.0, statuses)
            for number, person in enumerate(persons):
                before = counted(site, "failed")
                assert before < 100 - 10 * number, "the test came too late"
                await honest_login(Client(site.url, address(number, 2)), person, report)
                assert counted(site, "failed") - before < 20
            tasks.cancel_scope.cancel()
    assert (len(report.seconds), report.told, report.others) == (5, [], {}), report.text()
    assert max(report.seconds) < 6


@pytest.mark.system
async def test_wrong_logins_delay_neither_renewals_nor_prices(tmp_path: Path) -> None:
    """While logins of 100 addresses wait, tokens of a person are renewed in time, and every tick arrives."""
    statuses = Counter[int]()
    async with running_persons(tmp_path, exchange={"switches": Switches(session_expires_in=10)}) as site:
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            await connection_event(tab, "person")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attack, site.url, 100, 2.0, statuses)
            await eventually(lambda: counted(site, "waiting") >= 40, "logins wait")
            async with reading(f"{site.url}/sse/?timer=0&channels=btc_usd") as stream:
                ids = [(await stream.next("btc_usd")).id for _ in range(10)]
            assert len(set(ids)) == 10
            await eventually(lambda: counted(site, "refreshed") or counted(site, "ended"), "the tokens end")
            assert counted(site, "waiting") >= 40
            tasks.cancel_scope.cancel()
        assert counted(site, "ended") == 0
        assert (await browser.me()).status_code == 200
