"""A real redis-server of the tests, on a free port; skipped, and counted, where there is none."""

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
    """A redis-server that can be stopped, paused and started again on its port."""

    folder: Path
    port: int
    options: tuple[str, ...]
    process: Process | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Start it, empty, and wait until it answers."""
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
        """End it at once; what it held is gone."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
        if self.process is not None:
            with anyio.CancelScope(shield=True):
                await self.process.wait()
        self.process = None

    def pause(self) -> None:
        """Let it accept connections and never answer."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End the pause."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def running_redis(folder: Path, *options: str) -> AsyncIterator[RedisServer]:
    """A redis-server with the given options, gone when the block is left."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    server = RedisServer(folder, free_port(), options)
    await server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.returncode is None:
            server.go_on()
        await server.kill()
