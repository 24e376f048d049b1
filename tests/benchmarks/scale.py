"""A hundred thousand streams on two cores: `make bench-scale`.

Workers behind one port use a real Redis and the simulated exchange. There are several load clients, because a process
has a limit of files. Prints the open and closed streams, the memory of a stream, and the delay of the event loops.
"""

import argparse
import asyncio
import math
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import anyio
import httpx2
import psutil
from prometheus_client.parser import text_string_to_metric_families

from cryptomarket.simulator.exchange import running_exchange
from tests.processes import running_program
from tests.redis_server import running_redis

from .load import Load, enter
from .peers import open_files

#: Streams of one process: its file limit without the files that a gateway needs for other things.
A_PROCESS = 16_000
#: New streams a second of one load client.
PER_SECOND = 1_000
TIMER = 60


def memory(pid: int) -> int:
    """Return the unshared memory of the process and its children in bytes."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(process.memory_full_info().uss for process in processes)


def measured(url: str) -> tuple[float, float]:
    """Return the open streams of all workers, and the share of wake-ups of their loops that were at most 0.1 s late."""
    text = httpx2.get(f"{url}/metrics", timeout=60).text
    streams = 0.0
    buckets: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "cryptomarket_streams":
                streams += sample.value
            if sample.name == "cryptomarket_loop_lag_seconds_bucket":
                buckets[sample.labels["le"]] = buckets.get(sample.labels["le"], 0.0) + sample.value
    whole = buckets.get("+Inf", 0.0) or 1.0
    return streams, buckets.get("0.1", 0.0) / whole


@contextmanager
def clients(port: int, count: int) -> Iterator[list[Load]]:
    """Run ``count`` load clients."""
    with ExitStack() as stack:
        yield [stack.enter_context(Load(port, f"/sse/?timer={TIMER}&channels=btc_usd")) for _ in range(count)]


def hold(url: str, pid: int, streams: int, seconds: float) -> int:
    """Open the streams, hold them, and print the measures; return 1 if any was refused or closed."""
    port = int(re.findall(r":(\d+)", url)[-1])
    number = math.ceil(streams / A_PROCESS)
    with clients(port, number) as loads:
        share = math.ceil(streams / number)
        few = [enter(load, share // 10, PER_SECOND) for load in loads]
        before, began = memory(pid), time.monotonic()
        for load in loads:
            load(f"open 0 {share - share // 10} {PER_SECOND} 0")
        for load in loads:
            load.until(0, lambda report: report["joined"] + report["refused"] + report["dead"] >= share, 240)
        took = time.monotonic() - began
        opened = sum(load("report 0")["open"] for load in loads)
        a_stream = (memory(pid) - before) / max(1, opened - sum(one["open"] for one in few)) / 1024
        for load in loads:
            load("clear")
        time.sleep(seconds)
        reports = [load("report 0") for load in loads]
        counted, prompt = measured(url)
    held, closed = sum(one["open"] for one in reports), sum(one["closed"] for one in reports)
    events = sum(one["events"] for one in reports)
    print(
        f"{opened:,} of {number * share:,} streams opened in {took:.0f} s, {a_stream:.2f} KB each in the gateway's processes"
    )
    print(
        f"held for {seconds:.0f} s: {held:,} open, {closed} closed, {events:,} events; the workers count {counted:,.0f}"
    )
    print(f"event loops that woke at most 100 ms late: {prompt:.2%}")
    return 0 if opened == number * share and not closed else 1


async def run(streams: int, seconds: float) -> int:
    """Run the gateway and the measurement; return the exit code."""
    workers = math.ceil(streams / A_PROCESS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with running_exchange() as exchange, running_redis(folder) as redis:
            settings = {
                "redis_url": redis.url,
                "deribit_ws_url": exchange.ws_url,
                "deribit_http_url": exchange.http_url,
                "max_streams_per_address": 1_000_000,
            }
            arguments = ("serve", "--workers", str(workers)) if workers > 1 else ("serve",)
            async with running_program(folder, *arguments, **settings) as program:
                url = await program.url()
                await anyio.sleep(5)  # until all workers serve and prices flow
                return await asyncio.to_thread(hold, url, program.process.pid, streams, seconds)


def main() -> None:
    """Parse the arguments, and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=180)
    given = parser.parse_args()
    print(f"{open_files():,} files a process, {psutil.cpu_count()} cores", file=sys.stderr)
    sys.exit(asyncio.run(run(given.streams, given.seconds)))


if __name__ == "__main__":
    main()
