"""Everything that can befall a cluster, for as long as wanted, and what browsers and the database saw: `make chaos`.

Real processes on a real PostgreSQL and Redis. Prints how long browsers waited and what was lost, and fails when a
browser is closed for good or misled, a tick is missing unsaid, a slot is doubled, wrong, or missing without a reason.
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
from .checker import Truth, faults_of, history, unexplained
from .environment import INTERVAL, House, running_house
from .faults import TROUBLES
from .orders import Walk, every_order
from .rolling import Rolling
from .storm import Storm, shown

__all__ = ["Report", "strikes"]

#: One watches each node; a leader's end is the moment at which the first of them hears the next.
NODES = 3
HEALED_SECONDS = 5.0


@dataclass
class Report:
    """Lines for people, and what must not have been."""

    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """A line, now: the whole takes long."""
        print(line, flush=True)
        self.lines.append(line)

    def blame(self, faults: list[str]) -> None:
        """What was wrong, now."""
        for fault in faults[:10]:
            print(f"  WRONG: {fault}", flush=True)
        self.faults += faults


async def _next_leader(browsers: list[Browser], epoch: int) -> list[float]:
    """When each browser heard the first tick of a later epoch."""
    with anyio.fail_after(60):
        while not all(browser.since(epoch) for browser in browsers):
            await anyio.sleep(0.005)
    return [browser.since(epoch)[0].when for browser in browsers]


@asynccontextmanager
async def _watched(house: House) -> AsyncIterator[list[Browser]]:
    """Browsers at all nodes that come back at once."""
    browsers = [Browser(house.addresses, "timer=0&channels=btc_usd", number=n, hasty=True) for n in range(NODES)]
    async with anyio.create_task_group() as tasks:
        for browser in browsers:
            tasks.start_soon(browser.run)
        with anyio.fail_after(60):
            while not all(browser.ticks() for browser in browsers):
                await anyio.sleep(0.05)
        yield browsers
        tasks.cancel_scope.cancel()


async def strikes(house: House, name: str, count: int, lasts: float, report: Report) -> list[float]:
    """Strike the leader so often; seconds until each browser of the other nodes heard the next one."""
    waits: list[float] = []
    async with _watched(house) as browsers:
        for _ in range(count):
            victim = urlsplit((await house.one(leads=True)).url).netloc
            # Who sits on a node that stands still hears nothing before that goes on.
            others = [one for one in browsers if name == "leader killed" or one.address != victim]
            epoch = max(browser.epoch for browser in browsers)
            struck = time.monotonic()
            async with TROUBLES[name](house):
                waits += [when - struck for when in await _next_leader(others, epoch)]
                await anyio.sleep(max(0.0, struck + lasts - time.monotonic()))
            with anyio.fail_after(60):
                while not all([await node.works() for node in house.cluster.nodes]):
                    await anyio.sleep(0.05)
        await anyio.sleep(3 * INTERVAL)
    truth = Truth.of(browsers)
    rows, missing = await history(house.database_url)
    report.blame(faults_of(browsers, truth) + unexplained(rows, missing, truth, INTERVAL) + house.unhandled())
    slots = {row.slot for row in rows}
    lost = [slot for slot in range(min(slots), max(slots), INTERVAL) if slot not in slots]
    report.say(shown(f"{name}, to the next tick", waits))
    report.say(f"  {len(slots)} slots, {len(lost)} lost, {len(truth.ticks)} ticks")
    return waits


async def _leaders(given: argparse.Namespace, report: Report, folder: Path) -> None:
    for name, count, lasts in (("leader killed", given.kills, 0.0), ("leader paused", given.pauses, given.pause)):
        if count:
            place = folder / name.replace(" ", "-")
            place.mkdir()
            async with running_house(place, NODES, time_scale=5) as house:
                await strikes(house, name, count, lasts, report)


async def _orders(given: argparse.Namespace, report: Report, folder: Path) -> None:
    async with running_house(folder, 2, [ADA], time_scale=5) as house:
        walk = Walk(house, ADA, random.Random(given.seed))
        await walk.begin()
        for order in list(every_order())[: given.orders]:
            await walk.go(order)
        report.blame([*walk.faults, *house.unhandled()])
        report.blame([f"healed after {one:.1f} s" for one in walk.healed_seconds if one > HEALED_SECONDS])
        report.say(shown("all three dead, healed in", walk.healed_seconds))


async def _rolling(given: argparse.Namespace, report: Report, folder: Path) -> None:
    settings = {"drain_seconds": 2, "max_streams_per_address": 100_000}
    async with running_house(folder, NODES, accounts(3), time_scale=5, **settings) as house:
        rolling = Rolling()
        await rolling.run(house, given.browsers, random.Random(given.seed))
        report.blame([*rolling.faults, *([f"{rolling.refused} calls refused"] if rolling.refused else [])])
        report.say(shown("rolling, between prices", rolling.price_gaps))
        report.say(shown("rolling, without a stream", rolling.away))
        report.say(f"  {rolling.figures}")


async def _storms(given: argparse.Namespace, report: Report, folder: Path) -> None:
    healed = []
    for number in range(given.storms):
        place = folder / str(number)
        place.mkdir()
        async with running_house(place, NODES, accounts(3), time_scale=5) as house:
            storm = Storm()
            await storm.blow(house, random.Random(given.seed + number), given.minutes * 60)
        healed.append(storm.healed_seconds)
        report.blame(storm.faults)
        report.say(f"storm {given.seed + number}: {len(storm.struck)} troubles, {storm.figures}")
    report.say(shown("storms, healed in", healed))


async def run(given: argparse.Namespace) -> int:
    """The whole; the exit code."""
    report = Report()
    parts = {"leaders": _leaders, "orders": _orders, "rolling": _rolling, "storms": _storms}
    for name, part in parts.items():
        if given.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                await part(given, report, Path(folder))
    print(f"{len(report.faults)} faults")
    return 1 if report.faults else 0


def main() -> None:
    """Read the arguments, and run."""
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
