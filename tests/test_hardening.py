"""What the process leaves to other users of the machine: no readable file, no core dump."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cryptomarket.database.engine import Database
from cryptomarket.simulator.exchange import running_exchange

from .processes import eventually, running_program


def modes(folder: Path) -> dict[str, str]:
    """Return the permissions of each file in a folder."""
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.is_file()}


@pytest.mark.system
async def test_a_gateway_writes_files_for_its_owner_alone(tmp_path: Path) -> None:
    """The database with its log, and the key; a database that others can read keeps its mode and is named."""
    folder = tmp_path / "data"
    folder.mkdir()
    database = f"sqlite+aiosqlite:///{folder / 'history.db'}"
    before = os.umask(0o022)
    try:
        async with running_exchange() as exchange:
            settings = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
            async with running_program(tmp_path, "serve", database_url=database, **settings) as program:
                await program.url()
                names = {"history.db", "history.db-wal", "history.db-shm", "cryptomarket.key"}
                await eventually(lambda: names <= modes(folder).keys(), "the files of the gateway exist")
                assert set(modes(folder).values()) == {"0o600"}
                limit = psutil.Process(program.process.pid).rlimit(psutil.RLIMIT_CORE)
                assert limit[0] in (0, 1)
                assert await program.stop() == 0
                assert program.logged("database can be read by every user of the machine") is None
            (folder / "history.db").chmod(0o644)
            async with running_program(tmp_path, "serve", database_url=database, **settings) as program:
                await program.url()
                assert program.logged("database can be read by every user of the machine") is not None
                assert modes(folder)["history.db"] == "0o644"
                assert await program.stop() == 0
    finally:
        os.umask(before)


async def test_a_new_database_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Also where the umask allows more, as for `cryptomarket migrate` and other ASGI servers."""
    before = os.umask(0)
    try:
        async with Database(f"sqlite+aiosqlite:///{tmp_path / 'history.db'}") as database:
            await database.migrate()
            assert modes(tmp_path) == {
                "history.db": "0o600",
                "history.db-shm": "0o600",
                "history.db-wal": "0o600",
            }
    finally:
        os.umask(before)


#: Forbids core dumps, asks for them again, and crashes.
CRASH = """
import os, resource, signal
from cryptomarket.hardening import forbid_core_dumps
if os.environ["FORBID"]:
    forbid_core_dumps()
print(resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.kill(os.getpid(), signal.SIGABRT)
"""


def crash(folder: Path, forbid: str) -> tuple[str, list[str]]:
    """Run the program; return the limits that it printed and the names of the files that it left."""
    environment = {**os.environ, "FORBID": forbid}
    program = f"import resource; resource.setrlimit(resource.RLIMIT_CORE, (4096, 4096))\n{CRASH}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGABRT, done.stderr
    return done.stdout.strip(), [path.name for path in folder.iterdir()]


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    """The limit is 1, which Linux respects for programs that receive dumps as well."""
    if 0 <= resource.getrlimit(resource.RLIMIT_CORE)[1] < 4096:
        pytest.skip("no core dumps here")
    assert crash(tmp_path, "")[0] == "(4096, 4096)"
    for path in tmp_path.iterdir():
        path.unlink()
    assert crash(tmp_path, "yes") == ("(1, 4096)", [])
