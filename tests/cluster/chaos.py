"""Kill and pause the leader, again and again, and look at what browsers and the database saw: `make chaos`.

Real processes on a real PostgreSQL and Redis. Prints how long streams waited for the next leader's first tick, and
fails when a slot is doubled or missing without a reason, when a tick of an old epoch arrives after a newer one, or when
a row of an old epoch stands after one of a newer.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import anyio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from ..databases import running_postgres
from .nodes import Cluster, running_cluster, tick

INTERVAL = 2
NODES = 3


@dataclass
class Watch:
    """A reader that returns to any node: when each tick came, and under which id."""

    cluster: Cluster
    first: int
    seen: list[tuple[float, int, int]] = field(default_factory=list)

    async def run(self) -> None:
        """Read until cancelled; a stream that ends is opened again at the next node, as behind a front."""
        number = self.first
        while True:
            node = self.cluster.nodes[number % len(self.cluster.nodes)]
            number += 1
            with contextlib.suppress(Exception):
                async with node.stream("timer=0&channels=btc_usd") as stream:
                    while True:
                        (epoch, sequence), _ = await tick(stream, seconds=10)
                        self.seen.append((time.monotonic(), epoch, sequence))
            await anyio.sleep(0.05)


def newest(watches: list[Watch]) -> int:
    """The newest epoch that anybody heard."""
    return max((watch.seen[-1][1] for watch in watches if watch.seen), default=0)


async def epoch_after(watches: list[Watch], epoch: int, seconds: float = 60) -> float:
    """When the first tick of a higher epoch came to anybody."""
    with anyio.fail_after(seconds):
        while newest(watches) <= epoch:
            await anyio.sleep(0.005)
    return min(when for watch in watches for when, seen, _ in watch.seen if seen > epoch)


async def kills(cluster: Cluster, watches: list[Watch], count: int) -> list[float]:
    """Kill the leader so often; seconds until the first tick of the next."""
    waits = []
    for number in range(count):
        leader = await cluster.leader()
        cluster.nodes.remove(leader)
        epoch, killed = newest(watches), time.monotonic()
        leader.kill()
        waits.append(await epoch_after(watches, epoch) - killed)
        await cluster.start(f"k{number}")
    return waits


async def pauses(cluster: Cluster, watches: list[Watch], count: int, seconds: float) -> list[float]:
    """Stop the leader for so long and let it go on; seconds until the first tick of the next."""
    waits = []
    for _ in range(count):
        leader = await cluster.leader()
        epoch, stopped = newest(watches), time.monotonic()
        leader.signal(signal.SIGSTOP)
        try:
            others = [node for node in cluster.nodes if node is not leader]
            await cluster.leader(others, seconds=60)
            waits.append(await epoch_after(watches, epoch) - stopped)
            await anyio.sleep(max(0.0, seconds - (time.monotonic() - stopped)))
        finally:
            leader.signal(signal.SIGCONT)
        await anyio.sleep(1)
    return waits


async def rows(url: str) -> tuple[list[tuple[int, int]], list[tuple[int, int, str]]]:
    """Slots with their epochs, and the missing intervals with their reasons."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            found = await connection.execute(
                text("SELECT timestamp, epoch FROM prices WHERE ticker = 'btc_usd' AND source = 'live' ORDER BY 1")
            )
            prices = [(int(slot), int(epoch)) for slot, epoch in found]
            found = await connection.execute(
                text("SELECT start, \"end\", reason FROM ledger WHERE ticker = 'btc_usd' AND kind = 'missing'")
            )
            return prices, [(int(start), int(end), str(reason)) for start, end, reason in found]
    finally:
        await engine.dispose()


def faults(watches: list[Watch], prices: list[tuple[int, int]], missing: list[tuple[int, int, str]]) -> list[str]:
    """Everything that must not have happened."""
    seen = [pair for watch in watches for pair in pairwise(watch.seen)]
    found = [f"a tick of epoch {b[1]} after {a[1]}" for a, b in seen if b[1] < a[1]]
    found += [f"slot {b[0]} of epoch {b[1]} after {a[1]}" for a, b in pairwise(prices) if b[1] < a[1]]
    for (slot, _), (following, _) in pairwise(prices):
        hole = range(slot + INTERVAL, following, INTERVAL)
        unsaid = [one for one in hole if not any(start <= one < end for start, end, _ in missing)]
        found += [f"slot {one} is missing without a reason" for one in unsaid]
    return found


def shown(name: str, waits: list[float]) -> str:
    """A line of the table."""
    if not waits:
        return f"{name:28} none"
    ordered = sorted(waits)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return (
        f"{name:28} {len(waits):4}  p50 {statistics.median(ordered):.2f} s  p99 {p99:.2f} s  worst {ordered[-1]:.2f} s"
    )


async def run(kill_count: int, pause_count: int, pause_seconds: float) -> int:
    """The whole; the exit code."""
    with tempfile.TemporaryDirectory() as folder, running_postgres() as server:
        url = server.create()
        async with running_cluster(Path(folder), url, NODES, snapshot_interval=INTERVAL) as cluster:
            watches = [Watch(cluster, number) for number in range(NODES)]
            async with anyio.create_task_group() as tasks:
                for watch in watches:
                    tasks.start_soon(watch.run)
                with anyio.fail_after(60):
                    while not newest(watches):
                        await anyio.sleep(0.05)
                killed = await kills(cluster, watches, kill_count)
                paused = await pauses(cluster, watches, pause_count, pause_seconds)
                await anyio.sleep(2 * INTERVAL)
                tasks.cancel_scope.cancel()
        prices, missing = await rows(url)
    print(shown("kill -9, to the next tick", killed))
    print(shown("SIGSTOP, to the next tick", paused))
    ticks = sum(len(watch.seen) for watch in watches)
    print(f"{len(prices)} slots stored, {len(missing)} intervals missing with a reason, {ticks} ticks seen")
    wrong = faults(watches, prices, missing)
    for one in wrong[:20]:
        print(one, file=sys.stderr)
    print(json.dumps({"killed": killed, "paused": paused, "faults": len(wrong)}), file=sys.stderr)
    return 1 if wrong else 0


def main() -> None:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--pauses", type=int, default=10)
    parser.add_argument("--pause-seconds", type=float, default=10.0)
    given = parser.parse_args()
    sys.exit(asyncio.run(run(given.kills, given.pauses, given.pause_seconds)))


if __name__ == "__main__":
    main()
