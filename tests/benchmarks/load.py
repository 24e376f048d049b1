"""The load client, which is compiled when needed, and common measures with it."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .peers import CACHE, HERE, LOAD_CORE, Peer, ask, end, pinned

__all__ = ["Load", "enter", "steady"]

#: The most seconds in which new streams may join.
JOIN_SECONDS = 45.0


class Load:
    """The process of the load client; a call sends a command and returns the reply."""

    def __init__(self, port: int, target: str = "/sse/?timer=0") -> None:
        self.process = pinned([str(build()), str(port), target], LOAD_CORE)

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: object) -> None:
        end(self.process)

    def __call__(self, command: str) -> dict[str, Any]:
        return json.loads(ask(self.process, command))  # type: ignore[no-any-return]

    def until(self, group: int, enough: Callable[[dict[str, Any]], bool], seconds: float) -> dict[str, Any]:
        """Return the report of a group when ``enough`` accepts it, or when the time is over."""
        deadline = time.monotonic() + seconds
        while not enough(report := self(f"report {group}")) and time.monotonic() < deadline:
            time.sleep(0.05)
        return report


def build() -> Path:
    """Compile the load client if its source is newer; return its path."""
    source, binary = HERE / "load.c", CACHE / "load"
    if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise SystemExit("the load client needs a C compiler (gcc)")
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run([compiler, "-O2", "-o", str(binary), str(source)], check=True)
    return binary


def enter(load: Load, streams: int, per_second: int, group: int = 0, stalled: int = 0) -> dict[str, Any]:
    """Open ``streams`` more streams; return the report when they have joined."""
    before = load(f"report {group}")
    load(f"open {group} {streams} {per_second} {stalled}")

    def arrived(report: dict[str, Any]) -> bool:
        names = ("opened", "refused") if stalled else ("joined", "refused", "dead")
        return sum(report[name] - before[name] for name in names) >= streams  # type: ignore[no-any-return]

    return load.until(group, arrived, 30 if stalled else JOIN_SECONDS)


def steady(peer: Peer, load: Load, rate: float, seconds: float) -> dict[str, Any]:
    """Publish at a rate for ``seconds``; return the report of group 0: ages on arrival and cost of events."""
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
