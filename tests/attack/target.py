"""The attacked gateway: a real process, its simulated exchange, its history, and what it uses."""

import contextlib
import resource
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from cryptomarket.database.engine import Database
from cryptomarket.history.writer import HistoryWriter
from cryptomarket.simulator.accounts import SimulatedAccount
from tests.processes import Program, environment, eventually, free_port, running_command, running_program

__all__ = ["MEMORY_BYTES", "SEED", "Target", "fill_history", "more_files", "running_target"]

#: `mem_limit` of the compose file. It is judged, not enforced: a limit of the address space would count memory that
#: nobody uses, such as the stacks of threads, and a killed process would hide what else went wrong.
MEMORY_BYTES = 256 * 1024 * 1024
#: `nofile` of the compose file, as far as this machine allows it.
FILES = 65_536
#: The seed of the simulated market, from which an honest client computes the price that is right.
SEED = 1
TICKER = "btc_usd"

#: Sets the file limit and runs the command as the image has it: without `pyarrow`, whose import takes 50 MB.
_AS_IN_IMAGE = f"""
import resource, runpy, sys
files = min({FILES}, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
sys.modules["pyarrow"] = None
runpy.run_module("cryptomarket", run_name="__main__", alter_sys=True)
"""


@dataclass
class Target:
    """The gateway process, and what it has used."""

    gateway: Program
    exchange: Program
    port: int

    def __post_init__(self) -> None:
        self._process = psutil.Process(self.gateway.process.pid)

    @property
    def alive(self) -> bool:
        """Whether the gateway process runs."""
        return self.gateway.process.returncode is None

    def most_memory(self) -> int:
        """Return the largest resident memory that the process ever had, in bytes."""
        with contextlib.suppress(FileNotFoundError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def forget_most_memory(self) -> None:
        """Let `most_memory` begin anew."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def queued(self) -> int:
        """Return the bytes that the kernel holds for the gateway's connections; a container's limit includes them."""
        port, count = f":{self.port:04X}", 0
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(port):
                sent, received = fields[4].split(":")
                count += int(sent, 16) + int(received, 16)
        return count

    def memory(self) -> int:
        """Return the resident memory of the process now, in bytes."""
        with contextlib.suppress(psutil.Error):
            return int(self._process.memory_info().rss)
        return 0

    def files(self) -> int:
        """Return the number of open files."""
        with contextlib.suppress(psutil.Error):
            return self._process.num_fds()
        return 0

    def cpu_seconds(self) -> float:
        """Return the processor time that the gateway used so far."""
        with contextlib.suppress(psutil.Error):
            used = self._process.cpu_times()
            return float(used.user + used.system)
        return 0.0

    def log_bytes(self) -> int:
        """Return the size of its log."""
        return self.gateway.log_path.stat().st_size

    def errors(self) -> list[str]:
        """Return the lines of its log that tell of an error."""
        lines = self.gateway.log.splitlines()
        return [line[:300] for line in lines if '"level": "error"' in line or not line.startswith("{")]


async def fill_history(folder: Path, rows: int) -> None:
    """Create the database of `running_program` with ``rows`` minutes of one ticker, up to now."""
    path = folder / "history.db"
    async with Database(f"sqlite+aiosqlite:///{path}") as database:
        await HistoryWriter(database, 60).migrate()
    end = int(time.time()) // 60 * 60
    minutes = range(end - 60 * rows, end, 60)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.executemany(
            "INSERT INTO prices VALUES (?, ?, ?, ?, 'live', 1)",
            ((TICKER, minute, f"{60_000 + minute % 9_973}.25", minute * 1000 + 59_000) for minute in minutes),
        )
        connection.executemany(
            "INSERT INTO candles VALUES (?, 60, ?, '60000.5', '60003.25', '60000.25', '60002.5', 60)",
            ((TICKER, minute) for minute in minutes),
        )
        connection.execute(
            "INSERT INTO ledger VALUES (?, ?, ?, 'observed', 60, NULL, NULL)", (TICKER, minutes.start, end)
        )


@contextlib.asynccontextmanager
async def running_target(folder: Path, accounts: Sequence[SimulatedAccount], rows: int) -> AsyncIterator[Target]:
    """Run the exchange, then the gateway with default settings."""
    keys = [word for one in accounts for word in ("--client-id", one.client_id, "--client-secret", one.client_secret)]
    exchange_folder, gateway_folder = folder / "exchange", folder / "gateway"
    exchange_folder.mkdir()
    gateway_folder.mkdir()
    await fill_history(gateway_folder, rows)
    port, up = free_port(), free_port()
    async with running_program(exchange_folder, "simulate", "--port", str(up), "--seed", str(SEED), *keys) as exchange:
        await eventually(lambda: "simulated exchange at" in exchange.out, "the exchange listens")
        settings = {
            "deribit_ws_url": f"ws://127.0.0.1:{up}/ws/api/v2",
            "deribit_http_url": f"http://127.0.0.1:{up}/api/v2",
            "port": port,
        }
        command = [sys.executable, "-c", _AS_IN_IMAGE, "serve"]
        async with running_command(gateway_folder, command, environment(gateway_folder, **settings)) as gateway:
            url = await gateway.url()
            await eventually(lambda: httpx2.get(f"{url}/readyz").json().get("degraded") == [], "prices flow")
            yield Target(gateway, exchange, port)


def more_files() -> None:
    """Raise the file limit of this process, which holds the honest streams."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
