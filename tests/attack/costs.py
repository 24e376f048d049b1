"""Runs one attack after the other and prints what each costs the gateway: `python -m tests.attack.costs [NAME ...]`.

The columns: processor milliseconds for each attempt beyond those of a quiet gateway, the share of a core, the slowest
probe of `/healthz`, and the largest memory beyond that before the first attack.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from tests.persons.crowd import accounts

from .attacks import ATTACKS
from .honest_requests import HEALTH_SECONDS, Requests, probe
from .honest_streams import StreamReport, leave, open_streams
from .result import Plan
from .run import attackers, background
from .target import Target, running_target

SECONDS = 8.0
STREAMS = 50


async def _cost(target: Target, name: str, idle: float, memory: int) -> str:
    target.forget_most_memory()
    health, cpu, began = Requests(), target.cpu_seconds(), time.monotonic()
    async with background() as start:
        start(probe(target.port, "/healthz", HEALTH_SECONDS, lambda: health))
        done = await attackers(Plan(attack_seconds=SECONDS, chosen=(name,)), target)
    share = (target.cpu_seconds() - cpu) / (time.monotonic() - began)
    counts = done["attacks"][name]
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in list(counts["outcomes"].items())[:6])
    attempt = max(0.0, share - idle) * SECONDS / max(1, counts["begun"]) * 1000
    return (
        f"{name:22}{attempt:9.1f} ms{share:7.0%}{max(health.seconds, default=0) * 1000:9.0f} ms"
        f"{(target.most_memory() - memory) / 1e6:8.1f} MB  {outcomes}"
    )


async def _main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running_target(Path(folder), accounts(60), Plan.rows) as target:
            streams = await open_streams(target.port, STREAMS, StreamReport())
            cpu = target.cpu_seconds()
            await asyncio.sleep(SECONDS)
            memory = target.memory()
            idle = (target.cpu_seconds() - cpu) / SECONDS
            print(f"{'attack':22}{'an attempt':>12}{'core':>7}{'/healthz':>12}{'memory':>11}", flush=True)
            for name in names or [kind.__name__ for kind in ATTACKS]:
                print(await _cost(target, name, idle, memory), flush=True)
                await asyncio.sleep(1)
            leave(streams)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
