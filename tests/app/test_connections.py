"""The limits of connections on a real gateway with few files."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.processes import Program, environment, eventually, running_command

pytestmark = pytest.mark.system

FILES = 300
HALF = b"GET /api/v1/prices HTTP/1.1\r\nHost: test\r\nX: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
PROXY = "127.0.0.9"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def running_gateway(folder: Path) -> AsyncIterator[Program]:
    """A gateway that may open few files and whose exchange is away."""
    limited = f"""if True:
        import os, resource, sys
        resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    """
    settings = {"deribit_ws_url": "ws://127.0.0.1:1", "deribit_http_url": "http://127.0.0.1:1"}
    command = [sys.executable, "-c", limited, "-m", "cryptomarket", "serve"]
    env = environment(folder, **settings, trusted_proxies=PROXY, log_level="debug", rest_units_per_second=10_000)
    async with running_command(folder, command, env) as program:
        yield program


async def test_half_requests_leave_files_for_honest_ones(tmp_path: Path) -> None:
    """Half requests of one address and of many, more than there are files: every honest request is answered at once."""
    connections: list[Connection] = []

    async with running_gateway(tmp_path) as program, httpx2.AsyncClient(base_url=await program.url()) as client:
        port = int((await program.url()).rpartition(":")[2])

        async def connect(source: str, sent: bytes) -> Connection:
            connection = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
            connections.append(connection)
            connection[1].write(sent)
            return connection

        async def answered(connection: Connection) -> bool:
            with contextlib.suppress(ConnectionError):
                return (await asyncio.wait_for(connection[0].readline(), 10)).startswith(b"HTTP/1.1 200 ")
            return False

        for number in range(900):
            with contextlib.suppress(ConnectionError):
                await connect("127.0.1.1" if number < 450 else f"127.0.2.{number % 50 + 1}", HALF)
            if number % 30 == 0:  # on a new connection each
                assert await answered(await connect("127.0.0.1", WHOLE))
        assert psutil.Process(program.process.pid).num_fds() < FILES
        metrics = (await client.get("/metrics")).text
        assert count(metrics, "connections_per_address") == 350
        assert count(metrics, "incomplete_request") > 200

        for _, writer in connections:
            writer.transport.abort()
        process = psutil.Process(program.process.pid)
        await eventually(lambda: process.num_fds() < 60, "the connections are gone")
        assert await answered(await connect("127.0.1.1", WHOLE))

        # Connections of a trusted proxy are those of many clients.
        kept = [await connect(PROXY, WHOLE) for _ in range(150)]
        assert [await answered(connection) for connection in kept] == [True] * 150
        for _, writer in connections:
            writer.transport.abort()
        assert await program.stop() == 0
        lines = [line for line in program.log.splitlines() if '"request refused"' in line]
        assert 0 < len(lines) < 60
        assert '"level": "error"' not in program.log
        assert "Traceback" not in program.log


def count(metrics: str, reason: str) -> float:
    """The counter of refusals for the reason."""
    (line,) = [line for line in metrics.splitlines() if "refusals_total" in line and f'"{reason}"' in line]
    return float(line.split()[-1])
