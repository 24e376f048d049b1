"""The command as a person runs it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from .simulated import exchange_at_pace


@pytest.mark.system
async def test_an_interrupted_run_writes_its_report(tmp_path: Path) -> None:
    """After Ctrl-C the report and the recording have what was seen before, and nobody sees a traceback."""
    report, record = tmp_path / "report.md", tmp_path / "recording.jsonl"
    async with exchange_at_pace() as exchange:
        command = [sys.executable, "-m", "cryptomarket", "verify", "--no-key", "--json", "--url", exchange.ws_url,
                   "--http-url", exchange.http_url, "--report", str(report), "--record", str(record)]  # fmt: skip
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        async with await anyio.open_process(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stderr
            with anyio.fail_after(30):
                while b'"confirmed"' not in await process.stdout.receive():
                    pass
                process.send_signal(signal.SIGINT)
                said = b"".join([part async for part in process.stderr]).decode()
                assert await process.wait() == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert ", interrupted" in report.read_text()
    assert record.read_text().endswith("}\n")
