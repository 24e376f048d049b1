"""A real redis-server on a free port; tests are skipped where none is installed."""

import contextlib
import shutil
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from anyio.abc import Process
from redis import RedisError
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from .processes import free_port

__all__ = ["RedisServer", "running_redis"]


_OPTIONS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--logfile", "redis.log", "--daemonize", "no")


@dataclass
class RedisServer:
    """A redis-server that can be killed, paused and started again on its port."""

    folder: Path
    port: int
    options: tuple[str, ...]
    process: Process | None = None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start the server without data, and wait until it answers."""
        self.process = await anyio.open_process(
            ["redis-server", *_OPTIONS, "--port", str(self.port), "--dir", str(self.folder), *self.options],
            stdin=None,
            stdout=None,
            stderr=None,
        )
        with anyio.fail_after(30):
            while not await self._answers():
                await anyio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            async with Redis.from_url(self.url) as redis:
                return bool(await redis.ping())
        except RedisError as exc:
            return isinstance(exc, AuthenticationError | NoPermissionError)
        except OSError:
            return False

    async def kill(self) -> None:
        """Kill the server, which loses its data."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self.process is not None:
            with anyio.CancelScope(shield=True):
                await self.process.wait()
        self.process = None

    def pause(self) -> None:
        """Pause the server: connections are accepted and not answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End the pause."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def running_redis(folder: Path, *options: str) -> AsyncIterator[RedisServer]:
    """Run a redis-server with the given options."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    server = RedisServer(folder, free_port(), options)
    await server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.returncode is None:
            server.resume()
        await server.kill()
