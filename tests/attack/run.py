"""Runs every attack at once against one gateway within the memory limit of its container: `make attack`.

Honest users use the same gateway: streams, REST readers, a log-in a second and the probes of a load balancer. They are
measured in quiet first. The program prints each promise with its bound and what was measured, writes the same as JSON
to `artifacts/attack/`, and ends with status 1 if a promise was not held.

The settings are the defaults. The limits of files and memory are those of the compose file.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.persons.crowd import accounts

from .honest_logins import log_in_each_second
from .honest_requests import HEALTH_SECONDS, Requests, percentile, probe, read_each_second
from .honest_streams import leave, open_streams
from .promises import promises, table
from .result import Plan, Result
from .target import Target, more_files, running_target

__all__ = ["attack", "attackers", "background", "report"]

ARTIFACTS = Path(__file__).parents[2] / "artifacts" / "attack"
ROOT = Path(__file__).parents[2]
PERSONS = 60
READY_SECONDS = 1.0
#: How long the gateway may take to release what the attackers held.
RELEASED_SECONDS = 90.0
#: Connections to the database and of the probes come and go.
SPARE_FILES = 20
LATENESS_SECONDS = 0.05
BUFFERS_SECONDS = 0.5

Start = Callable[[Coroutine[Any, Any, None]], None]


async def attack(plan: Plan, folder: Path) -> Result:
    """Run the plan; return what was measured."""
    more_files()
    persons, result = accounts(PERSONS), Result()
    async with running_target(folder, persons, plan.rows) as target:
        streams = await open_streams(target.port, plan.streams, result.streams)
        async with background() as start:
            counts: dict[str, Requests] = {}
            _start_honest(plan, target, start, lambda name: counts.setdefault(name, Requests()))
            start(_measure_lateness(result))
            start(_measure_memory(result, target))
            await asyncio.sleep(plan.quiet_seconds)
            result.quiet, counts = counts, {}
            result.quiet_memory, before = target.most_memory(), target.files()
            start(log_in_each_second(target.port, persons, result.logins))
            cpu, began = target.cpu_seconds(), time.monotonic()
            result.attackers = await attackers(plan, target)
            result.cpu_share = (target.cpu_seconds() - cpu) / (time.monotonic() - began)
            result.attacked, counts = counts, {}
            during = target.files()
        result.files = (before, during, await _released(target, before))
        leave(streams)
        result.memory, result.log_bytes = target.most_memory(), target.log_bytes()
        result.errors = target.errors()
        result.ended = "" if target.alive else f"exited with {target.gateway.process.returncode}"
    return result


def _start_honest(plan: Plan, target: Target, start: Start, counts: Callable[[str], Requests]) -> None:
    """Start the readers and the probes; ``counts`` returns where the results of a kind are counted now."""
    for number in range(plan.readers):
        start(read_each_second(number, target.port, lambda: counts("rest")))
    start(probe(target.port, "/healthz", HEALTH_SECONDS, lambda: counts("health")))
    start(probe(target.port, "/readyz", READY_SECONDS, lambda: counts("ready")))


@contextlib.asynccontextmanager
async def background() -> AsyncIterator[Start]:
    """Yield a function that starts a coroutine, which is cancelled at the end of the block."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield lambda work: tasks.append(asyncio.create_task(work))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _measure_lateness(result: Result) -> None:
    """Measure how late this process itself wakes up: what it measures cannot be better than that."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(LATENESS_SECONDS)
        result.lateness.append(time.monotonic() - began - LATENESS_SECONDS)


async def _measure_memory(result: Result, target: Target) -> None:
    while True:
        result.with_buffers = max(result.with_buffers, target.memory() + target.queued())
        await asyncio.sleep(BUFFERS_SECONDS)


async def attackers(plan: Plan, target: Target) -> dict[str, Any]:
    """Run the attackers' process to its end; return its counts."""
    arguments = (target.port, plan.attack_seconds, plan.addresses, plan.rate, *plan.chosen)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.attack.attackers", *map(str, arguments)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    return dict(json.loads(output))


async def _released(target: Target, before: int) -> int:
    """Wait until the connections of the attackers are closed; return the number of files that are open then."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RELEASED_SECONDS):
            while target.files() > before + SPARE_FILES:
                await asyncio.sleep(0.5)
    return target.files()


def report(plan: Plan, result: Result) -> str:
    """Return the counts of each attack, some figures, and the promises."""
    lines = [f"{'attack':22}{'begun':>8}{'skipped':>9}  outcomes"]
    begun, seconds = 0, result.attackers.get("seconds") or 1.0
    for name, counts in result.attackers.get("attacks", {}).items():
        begun += counts["begun"]
        told = ", ".join(f"{count} {outcome}" for outcome, count in list(counts["outcomes"].items())[:8])
        lines.append(f"{name:22}{counts['begun']:8}{counts['skipped']:9}  {told}")
    attackers_cpu = result.attackers.get("cpu_seconds", 0) / seconds
    return "\n".join(
        [
            *lines,
            "",
            f"{begun / seconds:.0f} attempts a second from {plan.addresses} addresses",
            f"processor: the gateway {result.cpu_share:.0%} of a core, the attackers {attackers_cpu:.0%}",
            f"the measuring process woke up late: {_spread(result.lateness)}",
            f"from tick to honest stream (timer=0): {_spread(result.streams.ages)}",
            f"longest silence of an honest stream: {result.streams.longest_silence:.1f} s",
            "",
            table(promises(plan, result)),
            *(f"  {line}" for line in [*result.streams.examples, *result.errors[:10]]),
        ]
    )


def _spread(values: list[float]) -> str:
    p50, p99, worst = percentile(values, 0.5), percentile(values, 0.99), max(values, default=0.0)
    return f"p50 {p50 * 1000:.1f}, p99 {p99 * 1000:.0f}, worst {worst * 1000:.0f} ms"


def _write_json(plan: Plan, result: Result) -> Path:
    """Write the promises and the counts to the artifacts; return the path."""
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    path = ARTIFACTS / "attack.json"
    judged = [asdict(promise) for promise in promises(plan, result)]
    path.write_text(json.dumps({"plan": asdict(plan), "promises": judged, "attackers": result.attackers}, indent=1))
    return path


def main() -> None:
    """Parse the arguments, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    plan = Plan()
    parser.add_argument("--seconds", type=float, default=plan.attack_seconds, help="of the attack")
    parser.add_argument("--quiet", type=float, default=plan.quiet_seconds, help="seconds of measuring before it")
    parser.add_argument("--streams", type=int, default=plan.streams)
    parser.add_argument("--readers", type=int, default=plan.readers)
    parser.add_argument("--addresses", type=int, default=plan.addresses)
    parser.add_argument("--rate", type=float, default=plan.rate, help="a factor of the rates of all attacks")
    parser.add_argument("--only", nargs="+", default=(), metavar="ATTACK", help="names of the table that is printed")
    given = parser.parse_args()
    plan = Plan(
        quiet_seconds=given.quiet,
        attack_seconds=given.seconds,
        streams=given.streams,
        readers=given.readers,
        addresses=given.addresses,
        rate=given.rate,
        chosen=tuple(given.only),
    )
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(attack(plan, Path(folder)))
    print(f"{report(plan, result)}\n\n{_write_json(plan, result)}")
    sys.exit(0 if all(promise.held for promise in promises(plan, result)) else 1)


if __name__ == "__main__":
    main()
