"""The lock that keeps two gateways without Redis off one database."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from cryptomarket.database.process_lock import only_process
from cryptomarket.errors import StartError

HOLDER = """
import anyio, sys
from cryptomarket.database.process_lock import only_process
async def main():
    async with only_process(sys.argv[1], wait_seconds=0):
        print("held", flush=True)
        await anyio.sleep(60)
anyio.run(main)
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def holder(place: str) -> "subprocess.Popen[str]":
    """Start a process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, place], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


async def test_a_second_process_is_refused_until_the_first_is_gone() -> None:
    """The StartError names the database and the setting; a process that is killed leaves no lock behind."""
    with holder("the place") as process:
        with pytest.raises(StartError, match=r"the place.*CRYPTOMARKET_REDIS_URL"):
            async with only_process("the place", wait_seconds=0.2):
                pytest.fail("two hold it")
        async with only_process("another place", wait_seconds=0):
            pass
        process.send_signal(signal.SIGKILL)
    async with only_process("the place", wait_seconds=5):
        pass


async def test_a_process_that_stops_is_waited_for() -> None:
    """A restart that overlaps the end of the one before it starts after that."""
    with holder("the place") as process:
        os.kill(process.pid, signal.SIGTERM)
        began = time.monotonic()
        async with only_process("the place", wait_seconds=20):
            assert time.monotonic() - began < 10


async def test_without_a_place_for_it_there_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link of another's making is not followed; the gateway starts without a lock."""
    async with only_process("the place", wait_seconds=0):
        (lock,) = tmp_path.glob("*.lock")
    assert not lock.exists()
    (tmp_path / "elsewhere").touch()
    lock.symlink_to(tmp_path / "elsewhere")
    async with only_process("the place", wait_seconds=0), only_process("the place", wait_seconds=0):
        pass
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    async with only_process("the place", wait_seconds=0):
        pass
