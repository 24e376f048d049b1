"""Long fault injection in a cluster, with a report of what browsers received and the database stored: `make chaos`.

The nodes are processes on a real PostgreSQL and Redis. The report has the waits of browsers and the lost slots. The
run fails if a browser is closed for good or receives another person's events, if a tick is missing without a gap
event, or if a slot is wrong or missing without a reason.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import anyio

from tests.persons.crowd import accounts
from tests.persons.site import ADA

from .browsers import Browser
from .checker import Truth, history, unexplained, violations_of
from .environment import INTERVAL, ClusterEnvironment, running_environment
from .faults import FAULTS
from .orders import Walk, every_order
from .rolling import RollingRestart
from .storm import Storm, shown

__all__ = ["Report", "fail_leader"]

#: The number of nodes, and of browsers that watch a failing leader: one at each node.
NODES = 3
HEALED_SECONDS = 5.0


@dataclass
class Report:
    """The lines of the report, and what went wrong."""

    lines: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Add a line, and print it at once, because a run takes hours."""
        print(line, flush=True)
        self.lines.append(line)

    def add_violations(self, violations: list[str]) -> None:
        """Add violations, and print the first ten at once."""
        for one in violations[:10]:
            print(f"  WRONG: {one}", flush=True)
        self.violations += violations


async def _next_leader(browsers: list[Browser], epoch: int) -> list[float]:
    """Wait until each browser has received a tick of a later epoch; return the times of the first ones."""
    with anyio.fail_after(60):
        while not all(browser.since(epoch) for browser in browsers):
            await anyio.sleep(0.005)
    return [browser.since(epoch)[0].when for browser in browsers]


@asynccontextmanager
async def _watched(environment: ClusterEnvironment) -> AsyncIterator[list[Browser]]:
    """Run one browser at each node; they reconnect at once."""
    browsers = [
        Browser(environment.addresses, "timer=0&channels=btc_usd", number=n, reopens_at_once=True) for n in range(NODES)
    ]
    async with anyio.create_task_group() as tasks:
        for browser in browsers:
            tasks.start_soon(browser.run)
        with anyio.fail_after(60):
            while not all(browser.ticks() for browser in browsers):
                await anyio.sleep(0.05)
        yield browsers
        tasks.cancel_scope.cancel()


async def fail_leader(
    environment: ClusterEnvironment, name: str, count: int, lasts: float, report: Report
) -> list[float]:
    """Fail the leader ``count`` times; return the seconds until browsers received a tick of the next leader."""
    waits: list[float] = []
    async with _watched(environment) as browsers:
        for _ in range(count):
            victim = urlsplit((await environment.node(leads=True)).url).netloc
            # A browser at a paused node receives nothing until the node continues.
            others = [one for one in browsers if name == "leader killed" or one.address != victim]
            epoch = max(browser.epoch for browser in browsers)
            began = time.monotonic()
            async with FAULTS[name](environment):
                waits += [when - began for when in await _next_leader(others, epoch)]
                await anyio.sleep(max(0.0, began + lasts - time.monotonic()))
            with anyio.fail_after(60):
                while not all([await node.works() for node in environment.cluster.nodes]):
                    await anyio.sleep(0.05)
        await anyio.sleep(3 * INTERVAL)
    truth = Truth.of(browsers)
    rows, missing = await history(environment.database_url)
    report.add_violations(
        violations_of(browsers, truth) + unexplained(rows, missing, truth, INTERVAL) + environment.unhandled()
    )
    slots = {row.slot for row in rows}
    lost = [slot for slot in range(min(slots), max(slots), INTERVAL) if slot not in slots]
    report.add(shown(f"{name}, to the next tick", waits))
    report.add(f"  {len(slots)} slots, {len(lost)} lost, {len(truth.ticks)} ticks")
    return waits


async def _leaders(given: argparse.Namespace, report: Report, folder: Path) -> None:
    for name, count, lasts in (("leader killed", given.kills, 0.0), ("leader paused", given.pauses, given.pause)):
        if count:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            async with running_environment(place, NODES, time_scale=5) as environment:
                await fail_leader(environment, name, count, lasts, report)


async def _orders(given: argparse.Namespace, report: Report, folder: Path) -> None:
    async with running_environment(folder, 2, [ADA], time_scale=5) as environment:
        walk = Walk(environment, ADA, random.Random(given.seed))
        await walk.begin()
        for order in list(every_order())[: given.orders]:
            await walk.go(order)
        report.add_violations([*walk.violations, *environment.unhandled()])
        report.add_violations([f"healed after {one:.1f} s" for one in walk.healed_seconds if one > HEALED_SECONDS])
        report.add(shown("all three dead, healed in", walk.healed_seconds))


async def _rolling(given: argparse.Namespace, report: Report, folder: Path) -> None:
    settings = {"drain_seconds": 2, "max_streams_per_address": 100_000}
    async with running_environment(folder, NODES, accounts(3), time_scale=5, **settings) as environment:
        restart = RollingRestart()
        await restart.run(environment, given.browsers, random.Random(given.seed))
        report.add_violations([*restart.violations, *([f"{restart.refused} calls refused"] if restart.refused else [])])
        report.add(shown("rolling, between prices", restart.price_gaps))
        report.add(shown("rolling, without a stream", restart.away))
        report.add(f"  {restart.figures}")


async def _storms(given: argparse.Namespace, report: Report, folder: Path) -> None:
    healed = []
    for number in range(given.storms):
        place = folder / str(number)
        place.mkdir()
        async with running_environment(place, NODES, accounts(3), time_scale=5) as environment:
            storm = Storm()
            await storm.run(environment, random.Random(given.seed + number), given.minutes * 60)
        healed.append(storm.healed_seconds)
        report.add_violations(storm.violations)
        report.add(f"storm {given.seed + number}: {len(storm.injected)} faults, {storm.figures}")
    report.add(shown("storms, healed in", healed))


async def run(given: argparse.Namespace) -> int:
    """Run all parts, or the one of ``--only``; return the exit code."""
    report = Report()
    parts = {"leaders": _leaders, "orders": _orders, "rolling": _rolling, "storms": _storms}
    for name, run_part in parts.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                await run_part(given, report, Path(folder))
    print(f"{len(report.violations)} violations")
    return 1 if report.violations else 0


def main() -> None:
    """Parse the arguments, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["leaders", "orders", "rolling", "storms"])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pauses", type=int, default=50)
    parser.add_argument("--pause", type=float, default=10.0, help="seconds of each")
    parser.add_argument("--orders", type=int, default=36)
    parser.add_argument("--browsers", type=int, default=2_000)
    parser.add_argument("--storms", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each storm")
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(asyncio.run(run(parser.parse_args())))


if __name__ == "__main__":
    main()
