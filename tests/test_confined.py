"""The program with the limits of its container: no capabilities, no new privileges, one writable folder."""

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

#: Makes everything read-only except the working directory, and drops all capabilities.
CONFINED = """
set -e
mount --bind "$DATA" "$DATA"
mount -o remount,bind,ro /
cd "$DATA"
if touch /tmp/elsewhere 2>/dev/null; then echo "the tree can be written" >&2; exit 97; fi
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
"""


def confining(folder: Path) -> list[str]:
    """Return the start of a command that confines the rest; skip the test where the machine does not allow it."""
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


def capabilities(program: Program) -> dict[str, str]:
    """Return the capabilities of the process from the kernel."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    return dict(re.findall(r"^(NoNewPrivs|CapEff|CapPrm|CapBnd):\t(\S+)$", status, re.MULTILINE))


async def test_the_gateway_needs_no_capabilities_and_one_folder(tmp_path: Path) -> None:
    """A confined gateway creates its database and key, serves, and stops within the memory of its container."""
    command = [*confining(tmp_path), sys.executable, "-W", "error", "-m", "cryptomarket", "serve"]
    async with running_exchange() as exchange, AsyncExitStack() as stack:
        settings = {"deribit_ws_url": exchange.ws_url, "deribit_http_url": exchange.http_url}
        settings["database_url"] = "sqlite+aiosqlite:///history.db"
        variables = environment(tmp_path, **settings) | {"DATA": str(tmp_path)}
        program = await stack.enter_async_context(running_command(tmp_path, command, variables))
        url = await program.url()
        nothing = "0" * 16
        assert capabilities(program) == {"NoNewPrivs": "1", "CapEff": nothing, "CapPrm": nothing, "CapBnd": nothing}
        async with reading(f"{url}/sse/?timer=0") as stream:
            await stream.next("btc_usd")
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            for path in ("/", "/status", "/api/v1/prices?ticker=btc_usd", "/metrics", "/readyz"):
                assert (await client.get(path)).status_code == 200, path
        assert psutil.Process(program.process.pid).memory_info().rss < 256 * MEGABYTE
        assert await program.stop(seconds=60) == 0
        assert "Read-only file system" not in program.log
        assert {"history.db", "cryptomarket.key"} <= {path.name for path in tmp_path.iterdir()}
