"""The cost of the Redis bus by the number of nodes: `make bench-bus`.

One leader and its followers are processes on one real Redis. The table has, at a fixed rate of ticks, the cost of a tick
for the leader, a follower and Redis, and its delay; then the highest rate that all sustain.
"""

import asyncio
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import psutil
import structlog
from redis.asyncio import Redis

from cryptomarket.cluster.redis.bus import RedisBus
from cryptomarket.cluster.redis.client import redis_client
from cryptomarket.model import Message, Tick
from cryptomarket.persons.keyring import Keyring
from tests.redis_server import running_redis

NODES = (1, 2, 4, 8)
#: The operator key that the processes share.
KEY = 43 * "A" + "="
TICKERS = [
    f"{coin}_usd" for coin in ("btc", "eth", "sol", "xrp", "ada", "dot", "ltc", "uni", "bnb", "avax", "trx", "dai")
]
RATE, SECONDS = 1_000, 5.0
#: Rates that are measured in turn until one is not sustained.
RATES = (4_000, 8_000, 16_000, 32_000, 64_000)
BURST_SECONDS = 2.0
STEP_SECONDS = 0.005


def now_us() -> int:
    """Return microseconds of the monotonic clock, which all processes of the machine share."""
    return time.monotonic_ns() // 1000


@dataclass
class Node:
    """The node of a process, which publishes on command and counts the received ticks."""

    bus: RedisBus
    late_us: list[int] = field(default_factory=list)
    received: int = 0

    def on_message(self, message: Message) -> None:
        """Count a tick; of every seventh record the delay since its timestamp, which is when it was published."""
        if isinstance(message, Tick):
            self.received += 1
            if self.received % 7 == 0:
                self.late_us.append(now_us() - message.exchange_timestamp)

    async def pace(self, rate: int, seconds: float) -> None:
        """Publish ``rate`` ticks a second."""
        dice = random.Random(1)
        began, published = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            while published < rate * passed:
                price = Decimal(dice.randrange(10**7)) / 100
                self.bus.publish(Tick(TICKERS[published % len(TICKERS)], price, now_us()))
                published += 1
            await anyio.sleep(STEP_SECONDS)

    def report(self) -> dict[str, Any]:
        """Return the measures since the last report."""
        late, self.late_us = sorted(self.late_us), []
        received, self.received = self.received, 0
        at = [late[int(share * (len(late) - 1))] / 1000 if late else 0.0 for share in (0.5, 0.99)]
        return {
            "received": received,
            "late_ms": at,
            "counts": asdict(self.bus.statistics()),
            "cpu": time.process_time(),
        }


async def be_a_node(url: str, name: str, leads: bool) -> None:
    """Run a node; obey commands on standard input, and print a report as JSON after each."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    redis = redis_client(url)
    node = Node(RedisBus(redis, name, Keyring(lambda: (KEY,))))
    node.bus.subscribe(node.on_message)
    async with anyio.create_task_group() as tasks:
        await tasks.start(node.bus.run)
        if leads:
            node.bus.lead(1)
        print("{}", flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            words = line.split()
            if words[0] == "pace":
                await node.pace(int(words[1]), float(words[2]))
            print(json.dumps(node.report()), flush=True)
        tasks.cancel_scope.cancel()
    await redis.aclose()


class Process:
    """The process of a node."""

    def __init__(self, url: str, name: str, *, leads: bool) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.bus", url, name, *(["leads"] if leads else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cpu = 0.0
        self.ask()

    def send(self, words: str) -> None:
        """Send a command without waiting for the report."""
        assert self._process.stdin
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()

    def ask(self, words: str = "") -> dict[str, Any]:
        """Send a command; return the next report, with the CPU seconds since the last."""
        if words:
            self.send(words)
        assert self._process.stdout
        found = dict(json.loads(self._process.stdout.readline()))
        found["used"] = found.get("cpu", 0.0) - self.cpu
        self.cpu = found.get("cpu", 0.0)
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout
        self._process.stdout.close()


@contextlib.contextmanager
def cluster(url: str, count: int) -> Iterator[list[Process]]:
    """Run the processes of a leader, which is the first, and its followers."""
    with contextlib.ExitStack() as stack:
        nodes = []
        for number in range(count):
            nodes.append(Process(url, f"n{number}", leads=number == 0))
            stack.callback(nodes[-1].close)
        yield nodes


async def _sent(url: str) -> int:
    async with Redis.from_url(url) as redis:
        return int((await redis.info("stats"))["total_net_output_bytes"])


async def measure(url: str, redis: psutil.Process, nodes: list[Process], rate: int, seconds: float) -> dict[str, Any]:
    """Publish at the rate; return what each process used and received."""
    for node in nodes:
        node.ask("report")
    sent, used, batches = await _sent(url), sum(redis.cpu_times()[:2]), nodes[0].ask("report")["counts"]["batches"]
    leader = nodes[0].ask(f"pace {rate} {seconds}")
    await anyio.sleep(0.3)
    leader_after = nodes[0].ask("report")
    reports = [node.ask("report") for node in nodes[1:]]
    ticks = leader["received"] + leader_after["received"]
    return {
        "ticks": ticks,
        "received": [report["received"] for report in reports],
        "late_ms": [max((report["late_ms"][n] for report in reports), default=0.0) for n in (0, 1)],
        "leader": leader["used"] + leader_after["used"],
        "followers": [report["used"] for report in reports],
        "redis": sum(redis.cpu_times()[:2]) - used,
        "bytes": await _sent(url) - sent,
        "batches": leader_after["counts"]["batches"] - batches,
    }


def _fixed(count: int, found: dict[str, Any]) -> str:
    """Return the row of the costs of a tick."""
    ticks = found["ticks"]
    follower = f"{statistics.mean(found['followers']) / ticks * 1e6:.0f} µs" if found["followers"] else ""
    late = f"{found['late_ms'][0]:.1f} / {found['late_ms'][1]:.1f} ms" if found["followers"] else ""
    return (
        f"| {count} | {found['leader'] / ticks * 1e6:.0f} µs | {follower} | {found['redis'] / ticks * 1e6:.0f} µs | "
        f"{found['bytes'] / ticks / count:.0f} B | {late} | {ticks - min(found['received'], default=ticks)} |"
    )


async def main() -> None:
    """Measure, and print the table."""
    print(
        "| nodes | leader | follower | Redis | bytes a node | late p50 / p99 | missed | idle follower, Redis | most |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for count in NODES:
        with tempfile.TemporaryDirectory() as folder:
            async with running_redis(Path(folder)) as server:
                assert server.process is not None
                redis = psutil.Process(server.process.pid)
                with cluster(server.url, count) as nodes:
                    row = _fixed(count, await measure(server.url, redis, nodes, RATE, SECONDS))
                    idle = await measure(server.url, redis, nodes, 0, SECONDS)
                    used = statistics.mean(idle["followers"]) if idle["followers"] else 0.0
                    row += f" {used / SECONDS * 1e3:.1f}, {idle['redis'] / SECONDS * 1e3:.1f} ms/s |"
                    most, full = RATE, ""
                    for rate in RATES:
                        found = await measure(server.url, redis, nodes, rate, BURST_SECONDS)
                        kept = min(
                            found["ticks"] / (rate * BURST_SECONDS),
                            *(one / found["ticks"] for one in found["received"]),
                            1.0,
                        )
                        shares = {
                            "leader": found["leader"],
                            "follower": max(found["followers"], default=0.0),
                            "Redis": found["redis"],
                        }
                        full = max(shares, key=lambda name: shares[name])
                        full = f"{full} {shares[full] / BURST_SECONDS:.0%}"
                        if kept < 0.99:
                            break
                        most = rate
                    print(f"{row} {most:,}/s ({full}) |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        asyncio.run(be_a_node(sys.argv[1], sys.argv[2], "leads" in sys.argv[3:]))
    else:
        asyncio.run(main())
