"""A storm: troubles of all kinds by a seed, while browsers read, persons log in, and the recorder writes."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from .browsers import Browser
from .checker import Truth, faults_of, history, unexplained
from .environment import INTERVAL, House
from .faults import DEATHS, TROUBLES
from .users import visiting

__all__ = ["Storm", "healed", "readers", "shown"]

#: A trouble lasts so long, and the next one strikes so soon after it began.
LASTS, PAUSES = (0.5, 6.0), (0.5, 4.0)
#: Not all at once: what one needs to strike may be another's victim.
AT_ONCE = 2


async def healed(house: House, seconds: float = 60.0) -> float:
    """Wait until every node says of everything that it works; the seconds that took."""
    began = time.monotonic()
    with anyio.move_on_after(seconds):
        while not all([await node.works() for node in house.cluster.nodes]):
            await anyio.sleep(0.05)
        return time.monotonic() - began
    trouble = [f"{node.name}: {await node.ready()}" for node in house.cluster.nodes if not await node.works()]
    raise AssertionError(f"not healed within {seconds} s: {trouble}")


def readers(house: House) -> list[Browser]:
    """Browsers of several habits behind a front that knows the nodes."""
    habits = [("timer=0", True), ("timer=0", False), ("timer=0&channels=btc_usd", True), ("timer=1", False)]
    return [
        Browser(house.addresses, query, number=number, hasty=hasty) for number, (query, hasty) in enumerate(habits * 3)
    ]


@dataclass
class Storm:
    """What happened, and what must not have."""

    struck: list[str] = field(default_factory=list)
    healed_seconds: float = 0.0
    faults: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    async def blow(self, house: House, dice: random.Random, seconds: float, names: Sequence[str] = ()) -> None:
        """Strike for so long, heal, and look at everything that was heard and stored."""
        browsers = readers(house)
        async with anyio.create_task_group() as tasks:
            for browser in browsers:
                tasks.start_soon(browser.run)
            async with visiting(house, list(house.cluster.exchange.accounts), dice) as visitors:
                await self._strike(house, dice, seconds, list(names or TROUBLES))
                self.healed_seconds = await healed(house)
                await anyio.sleep(3 * INTERVAL)
            tasks.cancel_scope.cancel()
        truth = Truth.of([*browsers, *(tab for visitor in visitors for tab in visitor.tabs)])
        self.faults += faults_of([*browsers, *(tab for visitor in visitors for tab in visitor.tabs)], truth)
        self.faults += [fault for visitor in visitors for fault in (*visitor.faults, *visitor.misled())]
        rows, missing = await history(house.database_url)
        self.faults += unexplained(rows, missing, truth, INTERVAL)
        self.faults += house.unhandled()
        self.figures = {
            "ticks": len(truth.ticks),
            "epochs": len({epoch for epoch, _ in truth.ticks}),
            "gaps": sum(len(browser.said("gap")) for browser in browsers),
            "rows": dict(Counter(row.source for row in rows)),
            "missing": dict(Counter(one.reason for one in missing)),
            "persons": dict(sum((Counter(visitor.counts) for visitor in visitors), Counter())),
        }

    async def _strike(self, house: House, dice: random.Random, seconds: float, names: list[str]) -> None:
        places = anyio.Semaphore(AT_ONCE)
        going: set[str] = set()
        began = time.monotonic()

        async def one(name: str, lasts: float) -> None:
            async with TROUBLES[name](house):
                self.struck.append(f"{time.monotonic() - began:5.1f} {name} for {lasts:.1f} s")
                await anyio.sleep(lasts)
            going.discard(_victim(name))
            places.release()

        async with anyio.create_task_group() as tasks:
            while time.monotonic() - began < seconds:
                await places.acquire()
                name = dice.choice([name for name in names if _victim(name) not in going])
                going.add(_victim(name))
                tasks.start_soon(one, name, dice.uniform(*LASTS))
                await anyio.sleep(dice.uniform(*PAUSES))


def _victim(name: str) -> str:
    """Who suffers; nodes one after the other, so that some are left."""
    victim = name.partition(" ")[0]
    return victim if victim in DEATHS else "node"


def shown(name: str, waits: Sequence[float]) -> str:
    """A line of the table."""
    if not waits:
        return f"{name:28} none"
    ordered = sorted(waits)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return (
        f"{name:28} {len(waits):4}  p50 {statistics.median(ordered):.2f} s  p99 {p99:.2f} s  worst {ordered[-1]:.2f} s"
    )
