"""The cost of a stream beside other servers, in one run: a table of measures and ratios.

    python -m tests.benchmarks.fanout [--streams 10000] [--only ours,nchan] [--stages latency,storm] [--markdown FILE]

The server runs on core 0, the load client (`load.c`, built with gcc) on core 1, over loopback; each event is checked.
`--only ""` compares no servers; `--stages ""` runs no stage of ours alone.
"""

import argparse
import json
import os
import platform
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from .load import Load, enter, steady
from .peers import COMPARED, LOAD_CORE, Absent, Stuck, running, within
from .stages import STAGES, Row

#: The measures of one server take half a minute; one that takes longer is reported as stuck.
COMMON_SECONDS = 150.0


def common(name: str, streams: int, seconds: float) -> dict[str, Any]:
    """Return the measures of one server."""
    with running(name) as peer, Load(peer.port) as load:
        began = time.monotonic()
        few = enter(load, streams // 10, 5000)
        time.sleep(1)
        with_few = peer.memory_bytes()  # includes what the program allocates at its first requests
        entered = enter(load, streams - streams // 10, 5000)
        result: dict[str, Any] = {"in": entered["joined"], "in_seconds": time.monotonic() - began - 1}
        time.sleep(1)
        result["kb"] = (peer.memory_bytes() - with_few) / max(1, entered["open"] - few["open"]) / 1024
        slow = steady(peer, load, 1, seconds)
        result |= {"p50": slow["age"]["p50"] / 1e3, "p99": slow["age"]["p99"] / 1e3, "max": slow["age"]["max"] / 1e3}
        rate = max(0.2, min(12.0, 0.8e6 / max(1.0, slow["cpu_us"]) / max(1, entered["open"])))
        busy = steady(peer, load, rate, seconds)
        result |= {"cpu_us": busy["cpu_us"], "busy": busy["busy"], "per_second": busy["per_second"], "rate": rate}
        result["wrong"] = {k: slow[k] + busy[k] for k in ("gaps", "repeats", "broken", "dead", "closed")}
        return result


def say(*words: object) -> None:
    """Print progress on standard error."""
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def table(results: dict[str, dict[str, Any]], absent: dict[str, str], streams: int) -> list[str]:
    """Return the lines of the table: the measures of every server, and ours as a ratio of them."""
    mine = results.get("ours")
    lines = [
        f"| {streams:,} streams, 150 bytes | memory a stream | CPU an event, busy | one broadcast p50 / p99 / last | all in after |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, r in results.items():
        beside = ""
        if mine and name != "ours":
            beside = f" (ours: {mine['kb'] / r['kb']:.2f} · {mine['cpu_us'] / r['cpu_us']:.2f} · {mine['p99'] / r['p99']:.2f})"
        came = f"{r['in_seconds']:.1f} s" if r["in"] >= streams else f"{r['in']:,} got in"
        lines.append(
            f"| {name}{beside} | {r['kb']:.2f} KB | {r['cpu_us']:.1f} µs at {r['per_second']:,.0f}/s, {r['busy']:.0%} busy "
            f"| {r['p50']:.0f} / {r['p99']:.0f} / {r['max']:.0f} ms | {came} |"
        )
    lines += [f"| {name} | absent: {why} | | | |" for name, why in absent.items()]
    return lines


def alone(names: list[str]) -> list[str]:
    """Run the stages of ours alone; return the lines of their table."""
    rows: list[Row] = []
    for name in names:
        say(name)
        stage, seconds = STAGES[name]
        try:
            with within(seconds):
                rows += stage()
        except (Stuck, Absent) as exc:
            rows.append((name, f"not measured: {exc}", ""))
        else:
            say(name, "done")
    lines = [f"| {what} | {reached} | {wanted} |" for what, reached, wanted in rows]
    return ["", "| ours | reached | wanted |", "| --- | --- | --- |", *lines] if rows else []


def compared(names: list[str], streams: int, seconds: float) -> list[str]:
    """Measure every server; return the lines of their table."""
    results: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    for name in names:
        say(name)
        try:
            with within(COMMON_SECONDS):
                results[name] = common(name, streams, seconds)
        except (Stuck, Absent) as exc:
            absent[name] = str(exc)
            say(name, "absent:", exc)
        else:
            say(name, json.dumps(results[name]))
    return table(results, absent, streams) if names else []


def main() -> None:
    """Measure what the arguments select, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each measure of a server lasts")
    parser.add_argument("--only", default=",".join(COMPARED), help="which servers, separated by commas")
    parser.add_argument("--stages", default=",".join(STAGES), help="which of ours alone, separated by commas")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    args = parser.parse_args()
    os.sched_setaffinity(0, {LOAD_CORE})
    lines = [
        f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, server on one core, load on one",
        "",
        *compared([name for name in args.only.split(",") if name], args.streams, args.seconds),
        *alone([name for name in args.stages.split(",") if name]),
    ]
    print("\n".join(lines))
    if args.markdown:
        args.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
