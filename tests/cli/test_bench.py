"""`cryptomarket bench` as a program: its figures, and what it leaves behind."""

import json
import os
import signal
from pathlib import Path

import anyio
import pytest

from tests.processes import eventually, run_program, running_program

pytestmark = pytest.mark.system


def processes_of(folder: Path) -> list[int]:
    """The processes whose working folder is, or was, below the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                place = os.readlink(entry / "cwd")
            except OSError:
                continue
            if place.startswith(f"{folder}/cryptomarket-bench-"):
                found.append(int(entry.name))
    return found


async def test_a_short_run_prints_sane_figures(tmp_path: Path) -> None:
    """Each figure is there for the gateway and the raw loop, in a plausible range, and nothing is left behind."""
    code, out, log = await run_program(tmp_path, "bench", "--streams", "20", "--seconds", "3", "--json")
    assert code == 0, log
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    ranges = {
        "streams": (20, 20),
        "stream_memory_kb": (0, 1000),
        "event_cpu_us": (1, 50_000),
        "deliveries_per_second": (60, 220),  # 20 streams, 10 ticks a second, on a machine that may be busy
        # 0 where most readers were not later than the subscriber of the exchange in the bench itself.
        "tick_to_bytes_p50_ms": (0, 1000),
        "tick_to_bytes_p99_ms": (0, 5000),
        "page_p50_ms": (0.1, 1000),
        "page_p99_ms": (0.1, 5000),
    }
    assert rows.keys() == ranges.keys()
    for name, (least, most) in ranges.items():
        assert least <= rows[name]["gateway"] <= most, rows[name]
        assert least <= rows[name]["raw"] <= most, rows[name]
    for name in ("tick_to_bytes", "page"):
        assert rows[f"{name}_p50_ms"]["gateway"] <= rows[f"{name}_p99_ms"]["gateway"]
    assert rows["page_p50_ms"]["ratio"] == pytest.approx(rows["page_p50_ms"]["gateway"] / rows["page_p50_ms"]["raw"])
    assert not list(tmp_path.glob("cryptomarket-bench-*"))
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 1), (signal.SIGHUP, 1)])
async def test_a_stop_leaves_nothing_behind(tmp_path: Path, sent: signal.Signals, code: int) -> None:
    """A stop or a closed terminal in the middle ends all processes and removes the folder, without a traceback."""
    async with running_program(tmp_path, "bench", "--streams", "20", "--seconds", "60") as program:
        await eventually(lambda: "measuring the gateway" in program.log, "it measures")
        assert len(processes_of(tmp_path)) == 3
        await anyio.sleep(0.5)
        assert await program.stop(sent, seconds=20) == code
        assert "Traceback" not in program.log
    assert not list(tmp_path.glob("cryptomarket-bench-*"))
    assert processes_of(tmp_path) == []
