"""Runs the program as a process with an environment, a log and an exit code."""

import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process

__all__ = ["Program", "environment", "eventually", "free_port", "run_program", "running_command", "running_program"]

#: Below the kernel's range for outgoing connections, and different for each process that runs tests.
_PORTS = itertools.cycle(range(start := 20_000 + os.getpid() % 100 * 100, start + 100))


def free_port() -> int:
    """Return a free port that no other process is likely to take before it is used."""
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the iterator of ports does not end")


async def eventually(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """Wait until the condition returns a true value; return it."""
    with anyio.move_on_after(seconds):
        while True:
            if found := condition():
                return found
            await anyio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass
class Program:
    """A running process; ``log`` is its standard error, ``out`` its standard output."""

    process: Process
    log_path: Path
    out_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def out(self) -> str:
        return self.out_path.read_text()

    def logged(self, event: str) -> dict[str, Any] | None:
        """Return the first log line of the event, from a program that logs JSON."""
        for line in self.log.splitlines():
            if line.startswith("{") and line.endswith("}") and (found := json.loads(line))["event"] == event:
                return dict(found)
        return None

    async def url(self) -> str:
        """Wait until the gateway serves; return its URL."""
        found = await eventually(
            lambda: self.process.returncode is not None or self.logged("serving"), "the gateway serves"
        )
        assert isinstance(found, dict), f"exited with {self.process.returncode}: {self.log}"
        return str(found["url"]).rstrip("/")

    async def stop(self, sig: signal.Signals = signal.SIGTERM, seconds: float = 60.0) -> int:
        """Send the signal, and return the exit code."""
        self.process.send_signal(sig)
        with anyio.fail_after(seconds):
            return await self.process.wait()


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """Return an environment with only the given settings, whose names are lower-case and without prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CRYPTOMARKET_")}
    defaults: dict[str, object] = {
        "database_url": f"sqlite+aiosqlite:///{folder / 'history.db'}",
        "log_format": "json",
        "port": 0,
        "drain_seconds": 0.5,
    }
    given = {f"CRYPTOMARKET_{name.upper()}": str(value) for name, value in {**defaults, **settings}.items()}
    return {**kept, **given, "TMPDIR": str(folder)}


@asynccontextmanager
async def running_program(folder: Path, *arguments: str, **settings: object) -> AsyncIterator[Program]:
    """Run `cryptomarket` in the folder; kill it at the end of the block if it is still running."""
    command = [sys.executable, "-W", "error", "-m", "cryptomarket", *arguments]
    async with running_command(folder, command, environment(folder, **settings)) as program:
        yield program


@asynccontextmanager
async def running_command(folder: Path, command: list[str], env: dict[str, str]) -> AsyncIterator[Program]:
    """Run any command in the folder; kill it at the end of the block if it is still running."""
    number = len(list(folder.glob("*.log")))
    log_path, out_path = folder / f"{number}.log", folder / f"{number}.out"
    with log_path.open("wb") as log, out_path.open("wb") as out:
        process = await anyio.open_process(
            command,
            env=env,
            cwd=folder,
            stdin=None,
            stdout=out,
            stderr=log,
        )
    try:
        yield Program(process, log_path, out_path)
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()
            await process.aclose()


async def run_program(folder: Path, *arguments: str, **settings: object) -> tuple[int, str, str]:
    """Run `cryptomarket` to its end; return its exit code, output and log."""
    async with running_program(folder, *arguments, **settings) as program:
        with anyio.fail_after(120):
            code = await program.process.wait()
        return code, program.out, program.log
