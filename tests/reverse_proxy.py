"""Services of the compose file as processes: Redis with its accounts, and nginx before two gateways."""

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest
from redis.asyncio import Redis

from .processes import Program, eventually, free_port, running_command
from .redis_server import RedisServer, running_redis
from .service_secrets import written_secrets

__all__ = ["account_url", "redis_with_accounts", "refusals", "running_nginx"]

ROOT = Path(__file__).parents[1]
#: An account of the tests, which reads the log of refused commands.
AUDITOR = "user auditor on nopass ~* &* +@all\n"


@contextlib.asynccontextmanager
async def redis_with_accounts(folder: Path) -> AsyncIterator[RedisServer]:
    """Run a Redis with the accounts of the compose file, fresh passwords in the folder, and an account of the tests."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    text = (written_secrets(folder) / "redis" / "users.acl").read_text()
    if version_of("redis-server", "--version") < (7, 2):  # older versions do not know this command
        text = text.replace(" +client|setinfo", "")
    place = folder / "users.acl"
    place.write_text(text + AUDITOR)
    async with running_redis(folder, "--aclfile", str(place), "--maxmemory", "48mb") as server:
        yield server


def account_url(server: RedisServer, account: str) -> str:
    """Return the URL of the server for one of its accounts."""
    place = server.folder / "secrets" / "accounts" / f"redis-{account}"
    password = place.read_text() if place.exists() else "any"
    return server.url.replace("redis://", f"redis://{account}:{password}@")


async def refusals(server: RedisServer) -> list[str]:
    """Return what was refused since the start: account, reason, command."""
    async with Redis.from_url(account_url(server, "auditor"), decode_responses=True) as redis:
        entries = await redis.acl_log()
    return [f"{entry['username']} {entry['reason']} {entry['object']}" for entry in entries]


def version_of(*command: str) -> tuple[int, ...]:
    """Return the first version number in the output of a command."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    assert found, command
    return tuple(map(int, found[0].split(".")))


def certificate(folder: Path) -> None:
    """Create a certificate for 127.0.0.1 with the command in the configuration's comment."""
    words = (ROOT / "deploy" / "nginx.conf").read_text().partition("&& openssl ")[2].partition(" && chmod")[0]
    command = words.replace("#", "").replace("\\\n", " ").replace("deploy/certificates", str(folder)).split()
    subprocess.run(["openssl", *command], check=True, capture_output=True, timeout=60)


@contextlib.asynccontextmanager
async def running_nginx(folder: Path, gateways: Sequence[str], *, also: str = "") -> AsyncIterator[tuple[str, Program]]:
    """Run nginx with the shipped configuration before two gateways (host:port); return its URL and process.

    ``also`` is added to the block `http`.
    """
    nginx, openssl = shutil.which("nginx"), shutil.which("openssl")
    if nginx is None or openssl is None:
        pytest.skip("no nginx or no openssl here")
    (folder / "certificates").mkdir()
    certificate(folder / "certificates")
    port, text = free_port(), (ROOT / "deploy" / "nginx.conf").read_text()
    for name, address in zip(("gateway:8000", "gateway-2:8000"), gateways, strict=True):
        text = text.replace(f"server {name} ", f"server {address} ")
    text = text.replace("/tmp/", f"{folder}/").replace("/etc/nginx/certificates", str(folder / "certificates"))
    text = text.replace("127.0.0.1:8081", f"127.0.0.1:{free_port()}")
    if version_of(nginx, "-v") < (1, 25, 1):  # older versions have another syntax
        text = re.sub(r"listen 8443 ssl;\s+http2 on;", "listen 8443 ssl http2;", text)
    text = text.replace("\nhttp {\n", f"\nhttp {{\n{also}\n")
    place = folder / "nginx.conf"
    place.write_text(text.replace("listen 8443", f"listen 127.0.0.1:{port}"))
    user = "user root;" if os.geteuid() == 0 else ""
    command = [nginx, "-e", "stderr", "-p", str(folder), "-c", str(place), "-g", f"daemon off; {user}"]
    async with running_command(folder, command, dict(os.environ)) as program:
        await eventually(lambda: program.process.returncode is not None or (folder / "nginx.pid").exists(), "nginx", 60)
        assert program.process.returncode is None, program.log
        try:
            yield f"https://127.0.0.1:{port}", program
        finally:
            with anyio.CancelScope(shield=True):
                await program.stop()  # killed, it would leave its worker behind
