"""The promises of the gateway under attack: the bound of each, what was measured, and whether it was held."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from .honest_requests import Requests, percentile
from .result import Plan, Result
from .target import MEMORY_BYTES

__all__ = ["Promise", "promises", "table"]

MOST_LOG_BYTES = 1_000_000
#: After the attack the gateway may hold so many more files than before it.
RELEASED_FILES = 20
LOGINS_SHARE = 0.99


@dataclass(frozen=True)
class Promise:
    """One promise: what it bounds, the bound, what was measured, and whether that is within."""

    name: str
    bound: str
    measured: str
    held: bool


def promises(plan: Plan, result: Result) -> list[Promise]:
    """Judge what was measured."""
    return [*_of_streams(result), *_of_requests(plan, result), _of_logins(result), *_of_process(result)]


def _of_streams(result: Result) -> list[Promise]:
    streams = result.streams
    closed, wrong = sum(streams.closed.values()), sum(streams.wrong.values())
    told = f"{wrong} of {streams.events:,} events {_counts(streams.wrong)}"
    return [
        Promise("honest streams closed", "0", f"{closed} of {streams.opened} {_counts(streams.closed)}", not closed),
        Promise("honest streams told something false", "0", told, not wrong and streams.events > 0),
    ]


def _of_requests(plan: Plan, result: Result) -> list[Promise]:
    rest, health, ready = (result.attacked.get(name, Requests()) for name in ("rest", "health", "ready"))
    quiet = result.quiet.get("rest", Requests()).p99()
    most = max(5 * quiet, plan.least_seconds)
    times = f"{_ms(rest.p99())} of {len(rest.seconds)}, p50 {_ms(percentile(rest.seconds, 0.5))}"
    health_times = f"{_ms(health.p99())}, worst {_ms(max(health.seconds, default=0))} {_counts(health.bad)}"
    alive = bool(health.seconds) and health.p99() < plan.health_seconds and not health.bad
    refused = f"{sum(rest.bad.values())} {_counts(rest.bad)}"
    bound = f"{_ms(most)}; 5 times the quiet {_ms(quiet)}"
    return [
        Promise("honest REST, p99", bound, times, bool(rest.seconds) and rest.p99() <= most),
        Promise("honest REST refused or unanswered", "0", refused, not rest.bad),
        Promise("/healthz, p99", _ms(plan.health_seconds), health_times, alive),
        Promise("/readyz ready", "always", f"{sum(ready.bad.values())} of {len(ready.seconds)} not", not ready.bad),
    ]


def _of_logins(result: Result) -> Promise:
    logins = result.logins
    measured = f"{logins.share:.1%} of {logins.ended}: {logins.text()}"
    return Promise(
        "honest log-ins within 5 s, or told at once that log-in is overloaded",
        f"{LOGINS_SHARE:.0%}",
        measured,
        logins.ended > 0 and logins.share >= LOGINS_SHARE,
    )


def _of_process(result: Result) -> list[Promise]:
    before, during, after = result.files
    memory = f"{result.memory >> 20} MB, {result.quiet_memory >> 20} before"
    failed = Counter(
        {
            f"{name}: {outcome}": count
            for name, counts in result.attackers.get("attacks", {}).items()
            for outcome, count in counts["outcomes"].items()
            if outcome.startswith("500")
        }
    )
    files = f"{before} before, {during} during, {after} after"
    return [
        Promise("the process", "runs to the end", result.ended or "runs", not result.ended),
        Promise("most memory", f"{MEMORY_BYTES >> 20} MB", memory, 0 < result.memory < MEMORY_BYTES),
        Promise(
            "the same with the kernel's buffers",
            f"{MEMORY_BYTES >> 20} MB",
            f"{result.with_buffers >> 20} MB",
            result.with_buffers < MEMORY_BYTES,
        ),
        Promise("answers 500 to attackers", "0", f"{sum(failed.values())} {_counts(failed)}", not failed),
        Promise("log", f"{MOST_LOG_BYTES:,} bytes", f"{result.log_bytes:,}", result.log_bytes < MOST_LOG_BYTES),
        Promise("errors in the log", "0", str(len(result.errors)), not result.errors),
        Promise("files released", f"at most {RELEASED_FILES} more", files, after <= before + RELEASED_FILES),
    ]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def table(judged: Sequence[Promise]) -> str:
    """Return the promises as a table."""
    rows = [("promise", "bound", "measured", ""), *((p.name, p.bound, p.measured, _word(p)) for p in judged)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    cells = ([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]] for row in rows)
    return "\n".join("  ".join(row).rstrip() for row in cells)


def _word(promise: Promise) -> str:
    return "held" if promise.held else "BROKEN"
