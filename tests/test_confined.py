"""The program as its container runs it, without a container: no capabilities, no new rights, one folder to write in."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import psutil
import pytest

from cryptomarket.simulator.exchange import running_exchange

from .processes import Program, environment, running_command
from .reader import reading

pytestmark = pytest.mark.system

MEGABYTE = 2**20

#: Everything is read only but the folder, which is the working directory; then all rights are given up for good.
CONFINED = """
set -e
mount --bind "$DATA" "$DATA"
mount -o remount,bind,ro /
cd "$DATA"
if touch /tmp/elsewhere 2>/dev/null; then echo "the tree can be written" >&2; exit 97; fi
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""


def confining(folder: Path) -> list[str]:
    """The beginning of a command that confines the rest of it; skips where this machine does not allow that."""
    missing = [name for name in ("unshare", "setpriv", "mount") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"cannot confine here: {f'no {missing[0]}' if missing else 'not root'}")
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", CONFINED, "confined"]
    done = subprocess.run(
        [*command, "true"], env={**os.environ, "DATA": str(folder)}, capture_output=True, text=True, timeout=30
    )
    if done.returncode:
        pytest.skip(f"cannot confine here: {done.stderr.strip()[:200]}")
    return command


def rights(program: Program) -> dict[str, str]:
    """What the kernel says that the process may do."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    return dict(re.findall(r"^(NoNewPrivs|CapEff|CapPrm|CapBnd):\t(\S+)$", status, re.MULTILINE))


async def test_the_gateway_needs_no_rights_and_one_folder(tmp_path: Path) -> None:
    """It makes its database and its key, streams, answers and stops in order, within the memory of its container."""
    command = [*confining(tmp_path), sys.executable, "-W", "error", "-m", "cryptomarket", "serve"]
    async with running_exchange() as exchange, AsyncExitStack() as stack:
        settings = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        settings["database_url"] = "sqlite+aiosqlite:///history.db"
        surroundings = environment(tmp_path, **settings) | {"DATA": str(tmp_path)}
        program = await stack.enter_async_context(running_command(tmp_path, command, surroundings))
        url = await program.url()
        nothing = "0" * 16
        assert rights(program) == {"NoNewPrivs": "1", "CapEff": nothing, "CapPrm": nothing, "CapBnd": nothing}
        async with reading(f"{url}/sse/?timer=0") as stream:
            await stream.next("btc_usd")
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            for path in ("/", "/status", "/api/v1/prices?ticker=btc_usd", "/metrics", "/readyz"):
                assert (await client.get(path)).status_code == 200, path
        assert psutil.Process(program.process.pid).memory_info().rss < 256 * MEGABYTE
        assert await program.stop(seconds=60) == 0
        assert "Read-only file system" not in program.log
        assert {"history.db", "cryptomarket.key"} <= {path.name for path in tmp_path.iterdir()}
