"""Runs programs of other people's clients, each in an environment of its own with the locked packages."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
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


def _environment(lock: Path, install: Callable[[Path], None]) -> Path:
    """Returns the folder of what is locked, installed if it is not there; skips the test where it cannot be."""
    name = lock.parent.name if lock.suffix == ".json" else lock.stem
    folder = ENVIRONMENTS / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tests of several processes want it at once
        if not (folder / "done").exists():
            try:
                install(folder)
            except subprocess.TimeoutExpired:
                pytest.skip(f"{name} cannot be installed here within {INSTALL_SECONDS} s")
            except subprocess.CalledProcessError as exc:
                pytest.skip(f"{name} cannot be installed here: {' '.join(exc.stderr.split())[-200:]}")
            (folder / "done").touch()
    return folder


def _run(*command: str | Path) -> None:
    subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=True)


def _newer_python(major: int, least: int) -> str | None:
    """A Python of this machine; a shim that is there but not active counts as absent."""
    for name in (f"python{major}.{minor}" for minor in range(least, least + 3)):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            _run(name, "-c", "import venv")
            return name
    return None


def _python(name: str, least: tuple[int, int]) -> list[str]:
    """The Python of the client's environment, of that version or a newer one."""
    lock = ROOT / "requirements" / "clients" / f"{name}.txt"
    python = sys.executable if sys.version_info >= least else _newer_python(*least)
    if python is None:
        pytest.skip(f"{name} needs Python {least[0]}.{least[1]} or newer")

    def install(folder: Path) -> None:
        _run(python, "-m", "venv", "--clear", "--without-pip", folder)
        pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check")
        _run(*pip, "install", "--quiet", "--require-hashes", "--no-compile", "--requirement", lock)

    return [str(_environment(lock, install) / "bin" / "python")]


def _node() -> list[str]:
    """A Node.js that finds the packages of the npm registry."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    lock = PROGRAMS.parent / "npm" / "package-lock.json"

    def install(folder: Path) -> None:
        for file in (lock, lock.with_name("package.json")):
            shutil.copy(file, folder)
        quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        _run(npm, "ci", "--prefix", folder, *quiet)

    return ["env", f"NODE_PATH={_environment(lock, install) / 'node_modules'}", node]


async def run_client(
    name: str,
    *arguments: str,
    trust: Mapping[str, str] = MappingProxyType({}),
    python: tuple[int, int] = (3, 11),
    seconds: float = 60.0,
) -> list[Any]:
    """Run the client's program with the arguments; returns the JSON values that it prints, one a line.

    ``trust`` are the variables of a `TlsFront`, ``python`` is the oldest version that will do. ``seconds`` are for
    the program, without the installation.
    """
    (path,) = PROGRAMS.glob(f"{name}_program.*")
    interpreter = await anyio.to_thread.run_sync(_node if path.suffix == ".cjs" else partial(_python, name, python))
    command = [*interpreter, str(path), *arguments]
    with anyio.fail_after(seconds):
        done = await anyio.run_process(command, check=False, env={"PATH": os.environ["PATH"], **trust})
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith(("{", "["))]
