"""The process of the attackers: every attack from its addresses, at a bounded rate; counts what became of each attempt.

    python -m tests.attack.attackers PORT SECONDS ADDRESSES RATE [NAME ...]

It prints one JSON object when it ends. It runs at the lowest priority, since attackers who took the processor from the
honest clients of the same machine would prove nothing.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .attacker import Attack, Attacker
from .attacks import ATTACKS

__all__ = ["Campaign", "attacking_addresses"]

#: How often the attempts that are due are begun.
STEP_SECONDS = 0.05
#: Attempts take one of so many addresses, one after the other.
NETWORK = "127.1"


def attacking_addresses(count: int) -> list[str]:
    """Return ``count`` addresses of the loopback network that no honest client uses."""
    return [f"{NETWORK}.{number // 250}.{number % 250 + 1}" for number in range(count)]


@dataclass
class Campaign:
    """One attack, repeated by all addresses; ``outcomes`` counts the attempts, ``skipped`` those that found no room."""

    attack: Attack
    rate: float
    outcomes: Counter[str] = field(default_factory=Counter)
    begun: int = 0
    skipped: int = 0
    running: set[asyncio.Task[None]] = field(default_factory=set)

    def begin_due(self, passed: float, attackers: Sequence[Attacker]) -> None:
        """Begin the attempts that are due when ``passed`` seconds have passed."""
        while self.begun + self.skipped < passed * self.attack.per_second * self.rate:
            if len(self.running) >= self.attack.at_once * max(self.rate, 0.1):
                self.skipped += 1
                continue
            task = asyncio.create_task(self._attempt(attackers[self.begun % len(attackers)]))
            self.begun += 1
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def _attempt(self, attacker: Attacker) -> None:
        try:
            async with asyncio.timeout(self.attack.seconds):
                outcome = await self.attack.attempt(attacker)
        except TimeoutError:
            outcome = "over time"
        except OSError as exc:  # refused, reset, or no address or file left
            outcome = type(exc).__name__
        except asyncio.IncompleteReadError:
            outcome = "closed"
        except asyncio.CancelledError:
            outcome = "held to the end"
        self.outcomes[outcome] += 1


async def _attack(port: int, seconds: float, addresses: int, rate: float, chosen: Sequence[str]) -> None:
    dice = random.Random(1)
    attackers = [
        Attacker(address, "127.0.0.1", port, random.Random(dice.random())) for address in attacking_addresses(addresses)
    ]
    campaigns = [Campaign(kind(), rate) for kind in ATTACKS if not chosen or kind.__name__ in chosen]
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        for campaign in campaigns:
            campaign.begin_due(passed, attackers)
        await asyncio.sleep(STEP_SECONDS)
    tasks = [task for campaign in campaigns for task in campaign.running]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": passed,
                "cpu_seconds": used.ru_utime + used.ru_stime,
                "attacks": {
                    type(campaign.attack).__name__: {
                        "begun": campaign.begun,
                        "skipped": campaign.skipped,
                        "outcomes": dict(campaign.outcomes.most_common()),
                    }
                    for campaign in campaigns
                },
            }
        )
    )


def _main() -> None:
    port, seconds, addresses, rate, *chosen = sys.argv[1:]
    os.nice(19)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_attack(int(port), float(seconds), int(addresses), float(rate), chosen))


if __name__ == "__main__":
    _main()
