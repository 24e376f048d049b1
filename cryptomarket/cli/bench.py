"""The command that measures this installation."""

import dataclasses
import json
import signal
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from rich.console import Console
from rich.table import Table

from ..errors import CryptomarketError
from .shared import Json, run_async

if TYPE_CHECKING:
    from ..app.bench import Measured

__all__ = ["bench"]

#: The figures: what they are called, and how they are printed.
ROWS = {
    "streams": ("streams held", "{:,.0f}"),
    "stream_memory_kb": ("memory of a stream", "{:.2f} KB"),
    "event_cpu_us": ("CPU of a delivered event", "{:.1f} µs"),
    "deliveries_per_second": ("deliveries a second", "{:,.0f}"),
    "tick_to_bytes_p50_ms": ("tick to bytes, p50", "{:.2f} ms"),
    "tick_to_bytes_p99_ms": ("tick to bytes, p99", "{:.2f} ms"),
    "page_p50_ms": ("page of 1,000 rows, p50", "{:.2f} ms"),
    "page_p99_ms": ("page of 1,000 rows, p99", "{:.2f} ms"),
}
#: More than the measures take at their slowest; beyond it something hangs.
EXTRA_SECONDS = 120.0


def bench(
    streams: Annotated[int, typer.Option(help="How many streams to open, at most the file limit.", min=1)] = 500,
    seconds: Annotated[float, typer.Option(help="About how long to measure.", min=1, max=600)] = 15,
    as_json: Json = False,
) -> None:
    """Measure this installation on loopback: a gateway with a simulated exchange, beside a raw loop that does its work.

    Machines differ and are busy, so the last column is what counts: the gateway's figure divided by the raw loop's.
    Nothing leaves this machine, and nothing is left behind.

    Example: cryptomarket bench --streams 2000
    """
    from ..app.bench import streams_possible

    possible = streams_possible(streams)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if possible < streams:
        console.print(f"the file limit (ulimit -n) allows {possible:,} streams")

    gateway, raw = (dataclasses.asdict(one) for one in run_async(lambda: _measure(possible, seconds, console)))
    ratios = {name: gateway[name] / raw[name] if gateway[name] is not None and raw[name] else None for name in ROWS}
    if as_json:
        for name in ROWS:
            print(json.dumps({"name": name, "gateway": gateway[name], "raw": raw[name], "ratio": ratios[name]}))
        return
    table = Table("", "gateway", "raw loop", "gateway / raw", box=None)
    for name, (title, form) in ROWS.items():
        shown = [form.format(one[name]) if one[name] is not None else "unknown" for one in (gateway, raw)]
        ratio = ratios[name]
        table.add_row(title, *shown, "" if ratio is None else f"{ratio:.2f}")
    Console(highlight=False).print(table)


async def _measure(streams: int, seconds: float, console: Console) -> "tuple[Measured, Measured]":
    """The figures of the gateway and of the raw loop. Raises CryptomarketError, also when a signal ends it."""
    from ..app.bench import measure

    found: list[tuple[Measured, Measured]] = []
    failure = CryptomarketError("the bench was stopped, or did not end in time")
    async with anyio.create_task_group() as tasks:

        async def stop_on_signal() -> None:
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGHUP) as signals:
                async for _ in signals:
                    tasks.cancel_scope.cancel()

        tasks.start_soon(stop_on_signal)
        with anyio.move_on_after(seconds + EXTRA_SECONDS):
            try:
                found.append(await measure(streams, seconds, lambda text: console.print(f"[dim]{text}[/]")))
            except CryptomarketError as exc:  # a group would hide it from the command line
                failure = exc
        tasks.cancel_scope.cancel()
    if not found:
        raise failure
    return found[0]
