"""A storm: random faults of all kinds from a seed, while browsers read, persons log in, and the recorder writes."""

import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import anyio

from .browsers import Browser
from .checker import Truth, history, unexplained, violations_of
from .environment import INTERVAL, ClusterEnvironment
from .faults import DEATHS, FAULTS
from .users import running_users

__all__ = ["Storm", "healed", "readers", "shown"]

#: Seconds that a fault lasts, and seconds from its start to the start of the next.
LASTS, PAUSES = (0.5, 6.0), (0.5, 4.0)
#: Faults at one time. Some need a server that another one makes unreachable.
AT_ONCE = 2


async def healed(environment: ClusterEnvironment, seconds: float = 60.0) -> float:
    """Wait until every node is ready with all that it depends on; return the seconds that took."""
    began = time.monotonic()
    with anyio.move_on_after(seconds):
        while not all([await node.works() for node in environment.cluster.nodes]):
            await anyio.sleep(0.05)
        return time.monotonic() - began
    unready = [f"{node.name}: {await node.ready()}" for node in environment.cluster.nodes if not await node.works()]
    raise AssertionError(f"not healed within {seconds} s: {unready}")


def readers(environment: ClusterEnvironment) -> list[Browser]:
    """Return twelve browsers with different queries and reconnection behaviour."""
    kinds = [("timer=0", True), ("timer=0", False), ("timer=0&channels=btc_usd", True), ("timer=1", False)]
    return [
        Browser(environment.addresses, query, number=number, reopens_at_once=reopens_at_once)
        for number, (query, reopens_at_once) in enumerate(kinds * 3)
    ]


@dataclass
class Storm:
    """The injected faults, and what went wrong."""

    injected: list[str] = field(default_factory=list)
    healed_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    async def run(
        self, environment: ClusterEnvironment, dice: random.Random, seconds: float, names: Sequence[str] = ()
    ) -> None:
        """Inject faults for ``seconds``, wait until all work again, and check what was received and stored."""
        browsers = readers(environment)
        async with anyio.create_task_group() as tasks:
            for browser in browsers:
                tasks.start_soon(browser.run)
            async with running_users(environment, list(environment.cluster.exchange.accounts), dice) as users:
                await self._inject(environment, dice, seconds, list(names or FAULTS))
                self.healed_seconds = await healed(environment)
                await anyio.sleep(3 * INTERVAL)
            tasks.cancel_scope.cancel()
        truth = Truth.of([*browsers, *(tab for user in users for tab in user.tabs)])
        self.violations += violations_of([*browsers, *(tab for user in users for tab in user.tabs)], truth)
        self.violations += [one for user in users for one in (*user.violations, *user.foreign_events())]
        rows, missing = await history(environment.database_url)
        self.violations += unexplained(rows, missing, truth, INTERVAL)
        self.violations += environment.unhandled()
        self.figures = {
            "ticks": len(truth.ticks),
            "epochs": len({epoch for epoch, _ in truth.ticks}),
            "gaps": sum(len(browser.connection_events("gap")) for browser in browsers),
            "rows": dict(Counter(row.source for row in rows)),
            "missing": dict(Counter(one.reason for one in missing)),
            "persons": dict(sum((Counter(user.counts) for user in users), Counter())),
        }

    async def _inject(
        self, environment: ClusterEnvironment, dice: random.Random, seconds: float, names: list[str]
    ) -> None:
        places = anyio.Semaphore(AT_ONCE)
        affected: set[str] = set()
        began = time.monotonic()

        async def one(name: str, lasts: float) -> None:
            async with FAULTS[name](environment):
                self.injected.append(f"{time.monotonic() - began:5.1f} {name} for {lasts:.1f} s")
                await anyio.sleep(lasts)
            affected.discard(_victim(name))
            places.release()

        async with anyio.create_task_group() as tasks:
            while time.monotonic() - began < seconds:
                await places.acquire()
                name = dice.choice([name for name in names if _victim(name) not in affected])
                affected.add(_victim(name))
                tasks.start_soon(one, name, dice.uniform(*LASTS))
                await anyio.sleep(dice.uniform(*PAUSES))


def _victim(name: str) -> str:
    """Return what the fault hits. All faults of nodes have the same name, so that only one node fails at a time."""
    victim = name.partition(" ")[0]
    return victim if victim in DEATHS else "node"


def shown(name: str, waits: Sequence[float]) -> str:
    """Return a line of the report."""
    if not waits:
        return f"{name:28} none"
    ordered = sorted(waits)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return (
        f"{name:28} {len(waits):4}  p50 {statistics.median(ordered):.2f} s  p99 {p99:.2f} s  worst {ordered[-1]:.2f} s"
    )
