"""Many persons log in at once; what each hears, and when. `python -m tests.persons.login_crowd 1000` prints figures."""

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Container, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from cryptography.fernet import Fernet

from cryptomarket.simulator.accounts import SimulatedAccount
from tests.redis_server import running_redis

from .crowd import Crowd, Tab, accounts
from .site import running_persons

__all__ = ["CROWD_SETTINGS", "CrowdReport", "crowd_logs_in", "log_in_at_once"]

#: A crowd comes from one address here.
CROWD_SETTINGS: dict[str, Any] = {
    "logins_per_minute": 100_000,
    "rest_units_per_second": 100_000,
    "max_streams": 10_000,
    "max_streams_per_address": 10_000,
}
#: Every login ends within this: the longest life of a secret and the time of the login itself.
MAX_SECONDS = 150.0


@dataclass
class CrowdReport:
    """What the persons heard; times are seconds after the crowd came."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    #: Logins that a node has answered, whatever it said.
    answered: int = 0
    logged_in_at: list[float] = field(default_factory=list)
    failed_at: dict[str, list[float]] = field(default_factory=dict)
    #: Of each login that was told to wait: the places, and when it heard the first.
    places: list[list[int]] = field(default_factory=list)
    first_notices: list[float] = field(default_factory=list)
    #: How long those heard nothing who heard nothing for longest.
    silence: float = 0.0
    #: By how many seconds the first announced time was wrong, of those who logged in.
    errors: list[float] = field(default_factory=list)

    @property
    def lost(self) -> int:
        """Logins that were accepted and never ended."""
        return self.outcomes["lost"]

    @property
    def rate(self) -> float:
        """Persons logged in a second, from the first to the last."""
        times = sorted(self.logged_in_at)
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0

    def text(self) -> str:
        """The figures in some lines."""
        errors = sorted(map(abs, self.errors)) or [0.0]
        return "\n".join(
            [
                *(f"{count:5} {what}" for what, count in self.outcomes.most_common()),
                *(f"{count:5} answered {status}" for status, count in self.refused.items()),
                f"{len(self.places):5} told their place, the last after {max(self.first_notices, default=0):.1f} s",
                f"{self.rate:5.1f} logged in a second, the last after {max(self.logged_in_at, default=0):.1f} s",
                *(f"{max(times):5.1f} s: the last '{why}'" for why, times in self.failed_at.items()),
                f"{self.silence:5.1f} s: the longest silence",
                f"{errors[len(errors) // 2]:5.1f} s: median error of the first announcement, {errors[-1]:.1f} at most",
            ]
        )


async def _follow(tab: Tab, started: float, report: CrowdReport) -> None:
    """Read what the tab hears until its login ends; note it in the report."""
    position, heard, places, announced = 0, time.monotonic(), list[int](), 0.0
    while time.monotonic() - started < MAX_SECONDS:
        data = bytes(tab.received)
        end = data.rfind(b"\n\n") + 2
        for line in data[position:end].splitlines():
            if not line.startswith(b'data: {"kind":"'):
                continue
            event, now = json.loads(line[6:]), time.monotonic()
            if event["kind"] not in ("login_waiting", "person", "login_failed"):
                continue
            report.silence, heard = max(report.silence, now - heard), now
            if event["kind"] == "login_waiting":
                if not places:
                    report.first_notices.append(now - started)
                    announced = now - started + event["seconds"]
                places.append(event["place"])
                continue
            outcome = event.get("reason", "logged in")
            report.outcomes[outcome] += 1
            if event["kind"] == "person":
                report.logged_in_at.append(now - started)
                if places:
                    report.errors.append(now - started - announced)
            else:
                report.failed_at.setdefault(outcome, []).append(now - started)
            if places:
                report.places.append(places)
            return
        position = max(position, end)
        await anyio.sleep(0.05)
    report.outcomes["lost"] += 1


async def log_in_at_once(
    crowds: Sequence[Crowd],
    persons: Sequence[SimulatedAccount],
    report: CrowdReport,
    wrong: Container[int] = (),
    accepting: Sequence[Crowd] = (),
) -> None:
    """Open a tab for each person at one of the gateways; then all log in at once.

    Those with a number in ``wrong`` have a wrong key. The logins are posted to the gateways ``accepting``, or to those
    of the tabs.
    """
    async with AsyncExitStack() as stack:
        tabs = []
        for number, _ in enumerate(persons):
            tabs.append(await stack.enter_async_context(crowds[number % len(crowds)].tab()))
        await _all_log_in(accepting or crowds, persons, tabs, report, wrong)


async def _all_log_in(
    crowds: Sequence[Crowd],
    persons: Sequence[SimulatedAccount],
    tabs: Sequence[Tab],
    report: CrowdReport,
    wrong: Container[int],
) -> None:
    limit, started = anyio.CapacityLimiter(100), time.monotonic()

    async def log_in(number: int) -> None:
        person, secret = persons[number], persons[number].client_secret
        if number in wrong:
            secret = "wrong-" + secret
        async with limit:
            status = await crowds[number % len(crowds)].post(tabs[number], person.client_id, secret)
        report.answered += 1
        if status != 202:
            report.refused[status] += 1
            return
        await _follow(tabs[number], started, report)

    async with anyio.create_task_group() as tasks:
        for number in range(len(persons)):
            tasks.start_soon(log_in, number)


async def crowd_logs_in(folder: Path, count: int, wrong: int = 0, redis_url: str | None = None) -> CrowdReport:
    """A crowd at one gateway with a simulated exchange, over real sockets; ``wrong`` have a wrong key."""
    persons, report = accounts(count), CrowdReport()
    given: dict[str, Any] = {"redis_url": redis_url, "secret_key": Fernet.generate_key().decode()} if redis_url else {}
    async with running_persons(folder, accounts=persons, **CROWD_SETTINGS, **given) as site:
        # Every second one until there are enough, so that right and wrong keys wait between each other.
        await log_in_at_once([Crowd(site.url)], persons, report, range(1, 2 * wrong, 2))
    return report


async def _main(count: int, wrong: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running_redis(Path(folder)) as redis:
            print((await crowd_logs_in(Path(folder), count, wrong, redis.url)).text())


if __name__ == "__main__":
    anyio.run(_main, int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
