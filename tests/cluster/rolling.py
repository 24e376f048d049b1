"""A rolling restart: node after node is stopped and started again, under browsers and persons who do not notice."""

import random
import time
from dataclasses import dataclass, field
from itertools import pairwise

import anyio

from .browsers import Browser, Closed, Opened
from .checker import Truth, faults_of, history, unexplained
from .environment import INTERVAL, House
from .storm import healed
from .users import visiting

__all__ = ["Rolling"]

#: The ticks of every tenth browser are looked at one by one.
EVERY = 10
#: Browsers come in so many at a time.
AT_ONCE = 100


@dataclass
class Rolling:
    """What the browsers of a rolling restart saw; seconds."""

    price_gaps: list[float] = field(default_factory=list)
    away: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    refused: int = 0  # calls of persons that were to be made again
    figures: dict[str, object] = field(default_factory=dict)

    async def run(self, house: House, count: int, dice: random.Random) -> None:
        """Restart every node once under so many browsers."""
        browsers = [
            Browser(house.addresses, "timer=1" if number % EVERY else "timer=0&channels=btc_usd", number=number)
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
            async with visiting(house, list(house.cluster.exchange.accounts), dice, leave=True) as visitors:
                began = time.monotonic()
                for node in list(house.cluster.nodes):
                    await house.restart(node)
                    await healed(house)
                took = time.monotonic() - began
                await anyio.sleep(6)  # the longest pause before a browser returns, and some ticks
            tasks.cancel_scope.cancel()
        self._measure(browsers)
        tabs = [tab for visitor in visitors for tab in visitor.tabs]
        truth = Truth.of([*browsers, *tabs])
        self.faults += faults_of([*browsers, *tabs], truth)
        self.faults += [f"{len(browser.said('gap'))} gaps" for browser in browsers if browser.said("gap")]
        self.faults += [fault for visitor in visitors for fault in (*visitor.faults, *visitor.misled())]
        self.faults += [f"a log-in failed: {one.counts}" for one in visitors if "login_failed" in str(one.counts)]
        self.refused = sum(one.counts.get(what, 0) for one in visitors for what in ("503", "unreachable", "me 503"))
        rows, missing = await history(house.database_url)
        self.faults += unexplained(rows, missing, truth, INTERVAL) + house.unhandled()
        slots = {row.slot for row in rows}
        lost = [slot for slot in range(min(slots), max(slots), INTERVAL) if slot not in slots]
        self.faults += [f"slots {lost} were lost"] if lost else []
        reopened = sum(max(0, sum(isinstance(one, Opened) for one in b.heard) - 1) for b in browsers)
        persons = {what for visitor in visitors for what in visitor.counts}
        self.figures = {
            "seconds": round(took, 1),
            "came back": reopened,
            "rows": len(rows),
            "persons": {what: sum(visitor.counts.get(what, 0) for visitor in visitors) for what in sorted(persons)},
        }

    def _measure(self, browsers: list[Browser]) -> None:
        """How far apart prices that follow each other are for who gets each one, and how long browsers were away."""
        for browser in browsers:
            if browser.query.startswith("timer=0"):
                apart = [b.exchange_timestamp - a.exchange_timestamp for a, b in pairwise(browser.ticks())]
                self.price_gaps.append(max(apart) / 1000)
            closed: float | None = None
            for one in browser.heard:
                if isinstance(one, Closed):
                    closed = one.when
                elif isinstance(one, Opened) and closed is not None:
                    self.away.append(one.when - closed)
