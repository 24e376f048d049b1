"""Measures of the gateway alone: each function returns rows with the measured and the wanted value."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from .asgi import other_servers
from .load import Load, enter, steady
from .peers import HERE, LOAD_CORE, open_files, running

__all__ = ["STAGES", "Row"]

#: The measure, its value, and the wanted value.
Row = tuple[str, str, str]

#: The limit of streams of `ours-full`; see `servers`.
FULL = 2_000


def latency() -> list[Row]:
    """Measure the time from a tick to its arrival at one stream."""
    with running("ours") as peer, Load(peer.port) as load:
        enter(load, 1, 10)
        age = steady(peer, load, 100, 8)["age"]
    return [
        ("tick in to bytes out, one stream", f"p50 {age['p50'] / 1e3:.2f}, p99 {age['p99'] / 1e3:.2f} ms", "p99 2 ms")
    ]


def storm(count: int = 20_000, others: int = 2_000, waiting: int = 100) -> list[Row]:
    """Measure reconnecting browsers, each of which reads its snapshot, beside other streams."""
    with running("ours") as peer, Load(peer.port) as load:
        enter(load, others, 3000)
        before = steady(peer, load, 10, 5)["age"]["p99"] / 1e3
        peer.rate(10)
        time.sleep(0.5)
        load("clear")
        cpu = peer.cpu_seconds()
        began = load(f"storm 1 {count} 1000000 {waiting}")["begun"]
        came = load.until(1, lambda r: r["first"] + r["refused"] + r["dead"] + r["closed"] >= count, 60)
        during = load("report 0")
        cpu = peer.cpu_seconds() - cpu - during["events"] * 7e-6
    wrong = {name: came[name] for name in ("dead", "refused", "closed", "broken") if came[name]}
    seconds = came["finished"] - began
    return [
        (
            f"{count:,} reconnects, each with its snapshot, {waiting} at once",
            f"{came['first']:,} in {seconds:.2f} s, {cpu / max(1, came['first']) * 1e6:.0f} µs each, "
            f"snapshot after p99 {came['wait']['p99'] / 1e3:.0f} ms{wrong or ''}",
            "2 s",
        ),
        (
            f"p99 of {others:,} others meanwhile",
            f"{during['age']['p99'] / 1e3:.1f} ms (before {before:.1f} ms)",
            "not doubled",
        ),
    ]


def stalled(streams: int = 10_000) -> list[Row]:
    """Measure the memory of readers that read nothing, and the delay of others beside them."""
    behind = streams // 10
    with running("ours") as peer, Load(peer.port) as load:
        enter(load, streams - behind, 3000)
        before = steady(peer, load, 4, 6)["age"]["p99"] / 1e3
        memory = peer.memory_bytes()
        enter(load, behind, 3000, group=1, stalled=1)
        peer.rate(40)  # until every buffer of the connection is full
        time.sleep(12)
        peer.rate(0)
        time.sleep(1)
        after = steady(peer, load, 4, 6)["age"]["p99"] / 1e3
        kb = (peer.memory_bytes() - memory) / behind / 1024
    return [
        ("p99 of the others with a tenth stalled", f"{after:.0f} ms (before {before:.0f} ms)", "within 10 %"),
        ("memory of a stalled stream, process", f"{kb:.1f} KB", "100 KB with the kernel's"),
    ]


def overload(turned_away: int = 20_000) -> list[Row]:
    """Measure streams and REST of a full process while it refuses many more streams."""
    with running("ours-full") as peer, Load(peer.port) as load:
        enter(load, FULL, 2000)
        peer.rate(5)
        time.sleep(1)
        load("clear")
        quiet = rest_p99(peer.port, 4)
        before = load("report 0")
        load("clear")
        load(f"storm 1 {turned_away} {turned_away / 5} 0")
        loud = rest_p99(peer.port, 4)
        flood = load.until(1, lambda r: r["closed"] + r["refused"] + r["dead"] >= turned_away, 30)
        during = load("report 0")
    wrong = {name: flood[name] for name in ("dead", "refused", "first") if flood[name]}
    return [
        (
            f"{turned_away:,} streams too many in 5 s",
            f"{flood['closed']:,} asked to come back with 200 {wrong or ''}; of {FULL:,} others {during['closed']} closed, "
            f"p99 {during['age']['p99'] / 1e3:.0f} ms (before {before['age']['p99'] / 1e3:.0f} ms)",
            "none closed",
        ),
        ("REST meanwhile, newest price, p99", f"{loud:.1f} ms (before {quiet:.1f} ms)", "not noticed"),
    ]


def rest_p99(port: int, seconds: float) -> float:
    """Return the p99 in milliseconds of requests for the newest price over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("GET", "/api/v1/prices/latest?ticker=BTC-PERPETUAL")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"REST answered {answer.status}")
        took.append(time.monotonic() - began)
        time.sleep(0.01)
    connection.close()
    return sorted(took)[len(took) * 99 // 100] * 1000


def restart(streams: int = 5_000) -> list[Row]:
    """Measure a restart on the same port with readers that reconnect as browsers do."""
    with running("ours") as old, Load(old.port) as load:
        load(f"browse 0 {streams} 2500")
        load.until(0, lambda r: r["joined"] >= streams, 30)
        old.rate(1)
        time.sleep(1)
        load("clear")
        began = time.monotonic()
        old.control.send_signal(signal.SIGTERM)
        old.control.wait(30)
        gone = time.monotonic() - began
        with running("ours", old.port) as new:
            new.rate(1)
            report = load.until(0, lambda r: r["returned"] >= streams, 40)
    quarters = report["back"]
    first = next((i for i, count in enumerate(quarters) if count), 0)
    mean = sum(quarters) / max(1, len(quarters) - first)
    return [
        (
            f"restart under {streams:,} browsers",
            f"{report['returned']:,} came back, {report['dead']} dead for good, after {first / 4:.1f} to {len(quarters) / 4:.1f} s; "
            f"in the busiest quarter of a second {max(quarters, default=0) / max(1.0, mean):.2f} times the mean",
            "none dead, 1.5 times",
        ),
        ("from SIGTERM to the exit", f"{gone:.1f} s", "window of 5 s"),
    ]


def hold(seconds: float = 180) -> list[Row]:
    """Hold as many streams as one process may have files, while another process joins and leaves."""
    count = min(19_000, open_files() - 1000)
    churn = churning()
    with running("ours") as peer, Load(peer.port, "/sse/?timer=5") as load:
        entered = enter(load, count, 4000)
        peer.rate(1)
        load("clear")
        time.sleep(seconds)
        report = load("report 0")
    churn.wait(240)
    output = (churn.stdout.read() if churn.stdout else "").strip().splitlines()
    return [
        (
            f"{count:,} streams of timer=5 for {seconds:.0f} s",
            f"{entered['joined']:,} in, {report['open']:,} still open, {report['closed']} closed, {report['events']:,} events",
            "none closed",
        ),
        ("1,000,000 joins and leaves in process", output[-1] if output else "no output", "nothing stays"),
    ]


def churning() -> "subprocess.Popen[str]":
    """Start the test of joins and leaves with a million of them in a separate process."""
    test = "tests/stream/test_crowds.py::test_joins_and_leaves_leave_nothing"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "uvloop", test]
    return subprocess.Popen(
        ["taskset", "-c", str(LOAD_CORE), *command],
        env={**os.environ, "CRYPTOMARKET_TEST_JOINS": "1000000"},
        stdout=subprocess.PIPE,
        text=True,
        cwd=HERE.parents[1],
    )


#: The stages in the order of the table, each with its limit in seconds.
STAGES: dict[str, tuple[Callable[[], list[Row]], float]] = {
    "latency": (latency, 60),
    "storm": (storm, 120),
    "stalled": (stalled, 150),
    "overload": (overload, 90),
    "restart": (restart, 120),
    "hold": (hold, 500),
    "servers": (other_servers, 180),
}
