"""Runs programs of other people's clients, each in an environment of its own with the locked packages."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import pytest

__all__ = ["run_client"]

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
#: An environment is made anew when its lock changes.
ENVIRONMENTS = ROOT / "build" / "clients"
INSTALL_SECONDS = 300


def python_of(name: str) -> Path:
    """The Python of the client's environment, which is made if it is not there; skips the test where it cannot be."""
    lock = ROOT / "requirements" / "clients" / f"{name}.txt"
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    with (ENVIRONMENTS / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tests of several processes want it at once
        if not done.exists():
            venv.create(folder, clear=True, symlinks=True)
            _install(folder, lock)
            done.touch()
    return folder / "bin" / "python"


def _install(folder: Path, lock: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "--quiet"]
    options = ["--disable-pip-version-check", "--require-hashes", "--no-compile", "--requirement", str(lock)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        pytest.skip(f"{lock.stem} cannot be installed here: {done.stderr.strip().splitlines()[-1][:200]}")


async def run_client(
    name: str,
    *arguments: str,
    program: str = "",
    trust: Mapping[str, str] = MappingProxyType({}),
    seconds: float = 60.0,
) -> list[Any]:
    """Run the client's program with the arguments; returns the JSON values that it prints, one a line.

    ``program`` names another one than that of the client's name, ``trust`` are the variables of a `TlsFront`.
    """
    python = await anyio.to_thread.run_sync(python_of, name)
    command: Sequence[str] = [str(python), str(PROGRAMS / f"{program or name}_program.py"), *arguments]
    with anyio.fail_after(seconds):
        done = await anyio.run_process(command, check=False, env={"PATH": os.environ["PATH"], **trust})
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith(("{", "["))]
