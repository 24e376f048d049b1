"""Other people's ASGI servers, run by their own command lines as real processes."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import httpx2
import psutil

from tests.stream.server import Connection

from .processes import Program, environment, free_port, running_command

__all__ = ["FACTORY", "SERVERS", "Site", "answer", "reader", "running_server"]

#: The command line of each server for an application factory.
SERVERS = {
    "uvicorn": "uvicorn {module}:{factory} --factory --port {port}",
    "hypercorn": "hypercorn {module}:{factory}() --bind 127.0.0.1:{port}",
    "granian": "granian --interface asgi --factory --port {port} {module}:{factory}",
}
FACTORY = "cryptomarket.app:create_app"
ROOT = Path(__file__).parents[1]


@dataclass
class Site:
    """A server as a process, and its address."""

    program: Program
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """Return the ids of the server's child processes."""
        return [child.pid for child in psutil.Process(self.program.process.pid).children(recursive=True)]

    def interrupt(self) -> None:
        """Send SIGINT to the workers and the server, as a terminal does: to no worker after its parent."""
        _send([*self.workers(), self.program.process.pid], signal.SIGINT)

    async def answers(self, path: str = "/readyz", status: int = 200, seconds: float = 60) -> httpx2.Response:
        """Wait for the status; return the response."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.program.process.returncode is None:
            with contextlib.suppress(httpx2.TransportError):
                found = await answer(self.url + path)
                if found.status_code == status:
                    return found
            await anyio.sleep(0.05)
        raise AssertionError(f"no {status} from {path}: {self.program.log}{self.program.out}")

    async def exit_code(self, seconds: float) -> int:
        """Wait for the end of the process."""
        with anyio.fail_after(seconds):
            return await self.program.process.wait()


@asynccontextmanager
async def running_server(
    folder: Path,
    server: str,
    settings: Mapping[str, object] | None = None,
    *,
    target: str = FACTORY,
    options: Sequence[str] = (),
) -> AsyncIterator[Site]:
    """Run a factory under a server on a free port; `serve` is our own program. Kill it at the end of the block."""
    port = free_port()
    module, _, factory = target.partition(":")
    if server == "serve":
        command = [sys.executable, "-m", "cryptomarket", "serve", "--port", str(port), *options]
    else:
        name, *arguments = SERVERS[server].format(module=module, factory=factory, port=port).split()
        command = [str(Path(sys.executable).parent / name), *arguments, *options]
    variables = {**environment(folder, **(settings or {})), "PYTHONPATH": str(ROOT)}
    async with running_command(folder, command, variables) as program:
        site = Site(program, port)
        try:
            yield site
        finally:  # workers would outlive their parent
            _send(site.workers() if program.process.returncode is None else [], signal.SIGKILL)


def _send(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


async def answer(url: str) -> httpx2.Response:
    """GET the address once, on a connection of its own."""
    async with httpx2.AsyncClient(timeout=10) as client:
        return await client.get(url)


@asynccontextmanager
async def reader(site: Site, target: str = "/sse/", **headers: str) -> AsyncIterator[Connection]:
    """A raw connection with an open stream."""
    async with await anyio.connect_tcp("127.0.0.1", site.port) as stream:
        yield await Connection(stream).get(target, **headers)
