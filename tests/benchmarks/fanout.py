"""What a stream costs, beside the field's usual answers, in one run: a table of measures and of ratios.

    python -m tests.benchmarks.fanout [--streams 10000] [--only ours,nchan] [--hold 180] [--markdown FILE]

The server runs on core 0, the load client (`load.c`, built with gcc) on core 1, over loopback; each event is checked.
"""

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from .peers import CACHE, HERE, LOAD_CORE, PEERS, Absent, Peer, open_files, pinned, running

#: Nobody waits longer than this for a crowd to get in.
PATIENCE_SECONDS = 45.0


class Load:
    """The load client, spoken with by lines."""

    def __init__(self, port: int, target: str = "/sse/?timer=0") -> None:
        self.process = pinned([str(build()), str(port), target], LOAD_CORE)

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def __call__(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    def until(self, group: int, enough: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """The report of a group once it is enough, or when the time is over."""
        deadline = time.monotonic() + seconds
        while not enough(report := self(f"report {group}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        return report


def build() -> Path:
    """The load client, compiled when its source is newer."""
    source, binary = HERE / "load.c", CACHE / "load"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise SystemExit("the load client needs a C compiler (gcc)")
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return binary


def enter(load: Load, streams: int, per_second: int, group: int = 0, stalled: int = 0) -> dict[str, Any]:
    """So many further streams, in."""
    before = load(f"report {group}")
    load(f"open {group} {streams} {per_second} {stalled}")

    def arrived(report: dict[str, Any]) -> bool:
        names = ("opened", "refused") if stalled else ("joined", "refused", "dead")
        return sum(report[name] - before[name] for name in names) >= streams  # type: ignore[no-any-return]

    return load.until(group, arrived, 30 if stalled else PATIENCE_SECONDS)


def steady(peer: Peer, load: Load, rate: float, seconds: float) -> dict[str, Any]:
    """Events at a rate for so long: how old they are on arrival, what they cost; group 0."""
    peer.rate(rate)
    time.sleep(max(1.0, 1.5 / rate))
    load("clear")
    cpu, began = peer.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    report = load("report 0")
    passed, used = time.monotonic() - began, peer.cpu_seconds() - cpu
    peer.rate(0)
    time.sleep(0.5)
    report.update(
        cpu_us=used / max(1, report["events"]) * 1e6, busy=used / passed, per_second=report["events"] / passed
    )
    return report


def common(name: str, streams: int, seconds: float) -> dict[str, Any]:
    """What is measured of every server."""
    with running(name) as peer, Load(peer.port) as load:
        began = time.monotonic()
        few = enter(load, streams // 10, 5000)
        time.sleep(1)
        with_few = peer.memory_bytes()  # what the program itself grows by at its first requests is in it
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


def storm(name: str, others: int, count: int, per_second: int) -> dict[str, Any]:
    """Browsers that reconnect all at once, each for its snapshot, beside others that are being served."""
    with running(name) as peer, Load(peer.port) as load:
        enter(load, others, 3000)
        before = steady(peer, load, 10, 5)
        peer.rate(10)
        time.sleep(0.5)
        load("clear")
        cpu = peer.cpu_seconds()
        began = load(f"storm 1 {count} {per_second}")["begun"]
        stormed = load.until(1, lambda r: r["first"] + r["refused"] + r["dead"] + r["closed"] >= count, 60)
        cpu = peer.cpu_seconds() - cpu
        during = load("report 0")
        return {
            "seconds": stormed["finished"] - began,
            "served": stormed["first"],
            "wrong": {k: stormed[k] for k in ("dead", "refused", "closed", "broken")},
            "first_p99": stormed["wait"]["p99"] / 1e3,
            "cpu_us_join": cpu / max(1, stormed["first"]) * 1e6,
            "others_before": before["age"]["p99"] / 1e3,
            "others_during": during["age"]["p99"] / 1e3,
        }


def stalled(name: str, streams: int, behind: int) -> dict[str, Any]:
    """Readers that take nothing, beside others: what they cost, and whether the others notice."""
    with running(name) as peer, Load(peer.port) as load:
        enter(load, streams - behind, 3000)
        before = steady(peer, load, 4, 6)
        memory = peer.memory_bytes()
        enter(load, behind, 3000, group=1, stalled=1)
        peer.rate(40)  # until every buffer between here and there is full
        time.sleep(12)
        peer.rate(0)
        time.sleep(1)
        after = steady(peer, load, 4, 6)
        return {
            "before": before["age"]["p99"] / 1e3,
            "after": after["age"]["p99"] / 1e3,
            "kb": (peer.memory_bytes() - memory) / behind / 1024,
        }


def latency(name: str, seconds: float) -> dict[str, Any]:
    """One stream: from the moment a tick is in to the moment it is read."""
    with running(name) as peer, Load(peer.port) as load:
        enter(load, 1, 10)
        report = steady(peer, load, 100, seconds)
        return {"p50": report["age"]["p50"] / 1e3, "p99": report["age"]["p99"] / 1e3, "max": report["age"]["max"] / 1e3}


def hold(name: str, streams: int, seconds: float) -> dict[str, Any]:
    """As many streams as one process may have files, for so long, at an event in five seconds."""
    with running(name) as peer, Load(peer.port, "/sse/?timer=5") as load:
        entered = enter(load, streams, 4000)
        peer.rate(1)
        load("clear")
        time.sleep(seconds)
        report = load("report 0")
        return {"in": entered["joined"], "open": report["open"], "closed": report["closed"], "events": report["events"]}


def say(*words: object) -> None:
    """Progress goes beside the table."""
    print(time.strftime("%H:%M:%S"), *words, file=sys.stderr, flush=True)


def table(results: dict[str, dict[str, Any]], absent: dict[str, str], streams: int) -> list[str]:
    """The measures of every server, and ours as a part of theirs."""
    mine = results.get("ours")
    lines = [
        f"| {streams:,} streams, 150 bytes | memory a stream | CPU an event, busy | one broadcast p50 / p99 / last | all in after |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, r in results.items():
        beside = ""
        if mine and name not in ("ours", "ours-asgi"):
            beside = f" (ours: {mine['kb'] / r['kb']:.2f} · {mine['cpu_us'] / r['cpu_us']:.2f} · {mine['p99'] / r['p99']:.2f})"
        came = f"{r['in_seconds']:.1f} s" if r["in"] >= streams else f"{r['in']:,} got in"
        lines.append(
            f"| {name}{beside} | {r['kb']:.2f} KB | {r['cpu_us']:.1f} µs at {r['per_second']:,.0f}/s, {r['busy']:.0%} busy "
            f"| {r['p50']:.0f} / {r['p99']:.0f} / {r['max']:.0f} ms | {came} |"
        )
    lines += [f"| {name} | absent: {why} | | | |" for name, why in absent.items()]
    return lines


def alone(args: argparse.Namespace) -> list[str]:
    """What is measured of ours, and where it is quick, of nchan."""
    lines = ["", "| ours | reached | wanted |", "| --- | --- | --- |"]
    say("latency of one stream")
    one = latency("ours", args.seconds)
    lines.append(f"| tick in to bytes out, one stream | p50 {one['p50']:.2f}, p99 {one['p99']:.2f} ms | p99 2 ms |")
    say("reconnect storm")
    s = storm("ours", 2000, 20_000, 10_000)
    lines.append(
        f"| 20,000 reconnects, each with its snapshot | {s['served']:,} in {s['seconds']:.1f} s, {s['cpu_us_join']:.0f} µs each "
        f"({s['wrong']}) | 2 s |"
    )
    lines.append(
        f"| p99 of 2,000 others meanwhile | {s['others_during']:.0f} ms (before {s['others_before']:.0f} ms) | not doubled |"
    )
    say("stalled readers")
    b = stalled("ours", args.streams, args.streams // 10)
    lines.append(
        f"| p99 of the others with a tenth stalled | {b['after']:.0f} ms (before {b['before']:.0f} ms) | within 10 % |"
    )
    lines.append(f"| memory of a stalled stream, process | {b['kb']:.1f} KB | 100 KB with the kernel's |")
    if args.hold:
        count = min(19_000, open_files() - 1000)
        say(f"holding {count} streams for {args.hold} s")
        h = hold("ours", count, args.hold)
        lines.append(
            f"| {count:,} streams of timer=5 for {args.hold:.0f} s | {h['in']:,} in, {h['open']:,} still open, {h['closed']} closed, "
            f"{h['events']:,} events | none closed |"
        )
    return lines


def main() -> None:
    """Measure what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each measure lasts")
    parser.add_argument("--only", default=",".join(PEERS), help="which servers, separated by commas")
    parser.add_argument("--hold", type=float, default=180.0, help="seconds to hold a full process; 0 for not at all")
    parser.add_argument("--markdown", type=Path, help="write the table there too")
    args = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    absent: dict[str, str] = {}
    for name in args.only.split(","):
        say(name)
        try:
            results[name] = common(name, args.streams, args.seconds)
        except Absent as exc:
            absent[name] = str(exc)
        else:
            say(name, json.dumps(results[name]))
    lines = [
        f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, server on one core, load on one",
        "",
    ]
    lines += table(results, absent, args.streams)
    if "ours" in results:
        lines += alone(args)
    print("\n".join(lines))
    if args.markdown:
        args.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
