"""A rolling restart: one node after another is stopped and replaced while browsers read and persons log in."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

import anyio

from .browsers import Browser, Closed, Opened
from .checker import Truth, history, unexplained, violations_of
from .environment import INTERVAL, ClusterEnvironment
from .storm import healed
from .users import running_users

__all__ = ["RollingRestart"]

#: Every tenth browser receives each tick; the others receive once a second.
EVERY = 10
#: How many browsers connect without a pause.
AT_ONCE = 100


@dataclass
class RollingRestart:
    """What the browsers saw during a rolling restart; times are seconds."""

    price_gaps: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    refused: int = 0  # requests of persons that were to be repeated
    figures: dict[str, object] = field(default_factory=dict)

    async def run(self, environment: ClusterEnvironment, count: int, dice: random.Random) -> None:
        """Restart every node once while ``count`` browsers read."""
        browsers = [
            Browser(environment.addresses, "timer=1" if number % EVERY else "timer=0&channels=btc_usd", number=number)
            for number in range(count)
        ]
        async with anyio.create_task_group() as tasks:
            for number, browser in enumerate(browsers):
                tasks.start_soon(browser.run)
                if number % AT_ONCE == 0:
                    await anyio.sleep(0.05)
            with anyio.fail_after(120):
                while not all(browser.ticks() for browser in browsers):
                    await anyio.sleep(0.1)
            async with running_users(
                environment, list(environment.cluster.exchange.accounts), dice, log_out=True
            ) as users:
                began = time.monotonic()
                for node in list(environment.cluster.nodes):
                    await environment.restart(node)
                    await healed(environment)
                took = time.monotonic() - began
                await anyio.sleep(6)  # the longest wait before a browser reconnects, and some ticks
            tasks.cancel_scope.cancel()
        self._measure(browsers)
        tabs = [tab for user in users for tab in user.tabs]
        truth = Truth.of([*browsers, *tabs])
        self.violations += violations_of([*browsers, *tabs], truth)
        gaps = Counter(gap["reason"] for browser in browsers for gap in browser.connection_events("gap"))
        self.violations += [f"{count} gaps for the reason {reason}" for reason, count in gaps.items()]
        self.violations += [one for user in users for one in (*user.violations, *user.foreign_events())]
        self.violations += [f"a login failed: {one.counts}" for one in users if "login_failed" in str(one.counts)]
        self.refused = sum(one.counts.get(what, 0) for one in users for what in ("503", "unreachable", "me 503"))
        rows, missing = await history(environment.database_url)
        self.violations += unexplained(rows, missing, truth, INTERVAL) + environment.unhandled()
        slots = {row.slot for row in rows}
        lost = [slot for slot in range(min(slots), max(slots), INTERVAL) if slot not in slots]
        self.violations += [f"slots {lost} were lost"] if lost else []
        reopened = sum(max(0, sum(isinstance(one, Opened) for one in b.received) - 1) for b in browsers)
        persons = {what for user in users for what in user.counts}
        self.figures = {
            "seconds": round(took, 1),
            "came back": reopened,
            "rows": len(rows),
            "persons": {what: sum(user.counts.get(what, 0) for user in users) for what in sorted(persons)},
        }

    def _measure(self, browsers: list[Browser]) -> None:
        """Measure the longest interval between ticks, where each is received, and the times without a stream."""
        for browser in browsers:
            if browser.query.startswith("timer=0"):
                apart = [b.exchange_timestamp - a.exchange_timestamp for a, b in pairwise(browser.ticks())]
                self.price_gaps.append(max(apart) / 1000)
            closed: float | None = None
            for one in browser.received:
                if isinstance(one, Closed):
                    closed = one.when
                elif isinstance(one, Opened) and closed is not None:
                    self.away.append(one.when - closed)
