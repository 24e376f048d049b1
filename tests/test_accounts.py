"""The accounts of PostgreSQL and the files of secrets, as users of their own and with their own passwords."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from cryptomarket.database.engine import Database
from cryptomarket.errors import DatabaseUnavailable

from .composition import composition
from .databases import Postgres, StoredHistory, running_postgres
from .service_secrets import command_in, postgres_with_accounts, prepare_accounts, written_secrets

pytestmark = pytest.mark.system


def address(server: Postgres, folder: Path, account: str, password: str = "") -> str:
    """Return the URL of an account of the server."""
    password = password or (folder / "secrets" / "accounts" / f"postgres-{account}").read_text()
    return server.url("cryptomarket").replace("postgres@", f"{account}:{password}@", 1)


def run(connection: Connection, sql: str) -> None:
    connection.execute(text(sql))


async def test_an_account_reads_and_writes_rows_only(tmp_path: Path) -> None:
    """It uses all tables of the owner, creates and drops none, reads no file of the server, and needs its password."""
    written_secrets(tmp_path)
    with postgres_with_accounts(tmp_path) as server:
        async with StoredHistory(server.url("cryptomarket").replace("postgres@", "cryptomarket@", 1)) as owner:
            await owner.migrate()
        for account in ("gateway", "celery"):
            async with Database(address(server, tmp_path, account), pooled=False) as database:
                await database.migrate()  # nothing to do
                for table in ("prices", "candles", "ledger", "jobs"):
                    await database.write(run, f"DELETE FROM {table}")
                for sql in ("CREATE TABLE x (n int)", "DROP TABLE prices", "ALTER TABLE prices ADD n int"):
                    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                        await database.write(run, sql)
                with pytest.raises(DBAPIError, match="permission denied"):
                    await database.write(run, "SELECT pg_read_file('/etc/passwd')")
            async with Database(address(server, tmp_path, account, "cryptomarket"), pooled=False) as database:
                with pytest.raises(DatabaseUnavailable, match="password authentication failed"):
                    await database.ping()


async def test_a_database_of_an_earlier_version_gets_the_accounts(tmp_path: Path) -> None:
    """Its tables are there before its accounts; the script may run again, and sets the passwords of the files."""
    written_secrets(tmp_path)
    with running_postgres() as server:
        server.execute("CREATE ROLE cryptomarket SUPERUSER LOGIN PASSWORD 'cryptomarket'")
        server.execute("CREATE DATABASE cryptomarket OWNER cryptomarket")
        async with StoredHistory(server.url("cryptomarket").replace("postgres@", "cryptomarket@", 1)) as owner:
            await owner.migrate()
        for _ in range(2):
            prepare_accounts(server, tmp_path)
        server.require_passwords("gateway", "celery", "cryptomarket")
        owner_url = address(server, tmp_path, "owner").replace("owner:", "cryptomarket:", 1)
        for url in (address(server, tmp_path, "gateway"), owner_url):
            async with Database(url, pooled=False) as database:
                await database.write(run, "DELETE FROM prices")
        async with Database(owner_url.replace(owner_url.split(":")[2].split("@")[0], "cryptomarket")) as database:
            with pytest.raises(DatabaseUnavailable, match="password authentication failed"):
                await database.ping()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that other users can reach, unlike that of pytest."""
    if os.geteuid() != 0 or not Path("/usr/bin/python3").exists():
        pytest.skip("cannot be other users here: not root, or no Python of the system")
    with tempfile.TemporaryDirectory(prefix="cm-secrets-", dir="/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place)


#: Prints those of the files that can be read.
READABLE = 'for file; do if cat "$file" >/dev/null 2>&1; then echo "$file"; fi; done'


def readable(folder: Path, user: int, group: int) -> set[str]:
    """Return the folders whose every file a user can read; files must not differ within one."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    command = ["sh", "-c", READABLE, "sh", *map(str, files)]
    done = subprocess.run(command, user=user, group=group, extra_groups=[], capture_output=True, text=True, check=True)
    found = {Path(line) for line in done.stdout.splitlines()}
    folders = {path.parent for path in found}
    assert found == {path for path in files if path.parent in folders}
    return {path.name for path in folders}


def test_files_can_be_read_by_their_service_alone(shared: Path) -> None:
    """The one-shot service runs without root and without capabilities; each reader is the user of its container."""
    services = composition().services
    uid, gid = map(int, services["secrets"].user.split(":"))
    targets = {mount.split(":")[1] for mount in services["secrets"].volumes}
    folders = {target.removeprefix("/secrets/") for target in targets if target.startswith("/secrets/")}
    for folder in folders:
        (shared / "secrets" / folder).mkdir(parents=True)
        os.chown(shared / "secrets" / folder, uid, gid)
    deploy = Path(__file__).parents[1] / "deploy"
    for name in ("write_secrets.py", "redis.acl"):
        shutil.copy(deploy / name, shared)
    command = [word.replace(str(deploy), str(shared)) for word in command_in(shared)]
    command[0] = "/usr/bin/python3"
    groups = [int(group) for group in services["secrets"].group_add]
    subprocess.run(command, user=uid, group=gid, extra_groups=groups, check=True, timeout=60, env={}, cwd="/")
    for name in ("postgres", "redis", "grafana"):
        user, group = map(int, services[name].user.split(":"))
        assert readable(shared / "secrets", user, group) == {name}
    # Our own programs are one user: what keeps them apart is that a container mounts its own volume alone.
    assert readable(shared / "secrets", uid, gid) == folders
    nobody = pwd.getpwnam("nobody")
    assert readable(shared / "secrets", nobody.pw_uid, nobody.pw_gid) == set()
