"""TLS to PostgreSQL: a real server with a certificate of an authority that the test made."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import Connection, text

from cryptomarket.database.engine import Database
from cryptomarket.database.synchronous import read_synchronously
from cryptomarket.errors import DatabaseUnavailable, StartError

from .certificates import Authority
from .databases import running_postgres
from .processes import free_port, run_program

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Authority]:
    """Two authorities, `right` and `wrong`."""
    folder = tmp_path_factory.mktemp("authorities")
    return {name: Authority(folder, name) for name in ("right", "wrong")}


@pytest.fixture(scope="module")
def server(authorities: dict[str, Authority]) -> Iterator[str]:
    """The host and port of a PostgreSQL whose certificate for 127.0.0.1 the right authority signed."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        pytest.skip("no PostgreSQL with TLS here: that of the tests' package is built without")
    port = str(free_port())
    with tempfile.TemporaryDirectory(prefix="cm-tls-", dir="/tmp") as place:  # another user must be able to reach it
        Path(place).chmod(0o755)
        signed = authorities["right"].sign("server", "127.0.0.1")
        options = {"listen_addresses": "127.0.0.1", "port": port, "ssl": "on"}
        for name, source in (("ssl_cert_file", signed.certificate), ("ssl_key_file", signed.key)):
            options[name] = shutil.copy(source, place)
            os.chmod(options[name], 0o600)
            if os.geteuid() == 0:
                shutil.chown(options[name], "nobody")
        with running_postgres(programs=programs, options=options):
            yield f"127.0.0.1:{port}"


def address(server: str, query: str, authorities: dict[str, Authority]) -> str:
    """Return the URL with the names of authorities in the query replaced by their files."""
    for name, authority in authorities.items():
        query = query.replace(f"={name}", f"={authority.certificate}")
    return f"postgresql+asyncpg://postgres@{server}/postgres?{query}"


def is_encrypted(connection: Connection) -> bool:
    return bool(connection.execute(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")).scalar())


@pytest.mark.parametrize(
    ("query", "encrypted"),
    [
        ("sslmode=verify-full&sslrootcert=right", True),
        ("sslrootcert=right", True),
        ("ssl=verify-ca&sslrootcert=right", True),
        ("sslmode=require", True),
        ("sslmode=disable", False),
        ("", True),
    ],
)
async def test_a_connection_is_encrypted(
    server: str, authorities: dict[str, Authority], query: str, encrypted: bool
) -> None:
    """TLS is used with the right authority, and in modes that check no certificate; the server confirms it."""
    async with Database(address(server, query, authorities), pooled=False) as database:
        assert await database.read(is_encrypted) is encrypted


@pytest.mark.parametrize(
    ("host", "query", "said"),
    [
        ("127.0.0.1", "sslrootcert=wrong", "unable to get local issuer certificate"),
        ("127.0.0.1", "sslmode=require&sslrootcert=wrong", "unable to get local issuer certificate"),
        ("127.0.0.1", "sslmode=verify-full", "unable to get local issuer certificate"),
        ("localhost", "sslrootcert=right", "Hostname mismatch"),
    ],
)
async def test_a_wrong_certificate_is_refused(
    server: str, authorities: dict[str, Authority], host: str, query: str, said: str
) -> None:
    """The start fails with an error that names the parameter to change. No connection without TLS is tried instead."""
    url = address(server, query, authorities).replace("127.0.0.1", host)
    async with Database(url, pooled=False) as database:
        with pytest.raises(StartError, match=said) as caught:
            await database.migrate()
    assert "sslrootcert=FILE in CRYPTOMARKET_DATABASE_URL" in str(caught.value)


async def test_commands_use_the_same_parameters(server: str, authorities: dict[str, Authority], tmp_path: Path) -> None:
    """Migrations and reads without an event loop work with the right authority; with the wrong one they fail."""
    right, wrong = (address(server, f"sslrootcert={name}", authorities) for name in ("right", "wrong"))
    assert (await run_program(tmp_path, "migrate", database_url=right))[0] == 0
    assert await anyio.to_thread.run_sync(read_synchronously, right, is_encrypted)
    code, _, log = await run_program(tmp_path, "migrate", database_url=wrong)
    assert (code, log.count("\n")) == (1, 1)
    assert "its certificate is refused" in log
    with pytest.raises(DatabaseUnavailable, match="its certificate is refused"):
        await anyio.to_thread.run_sync(read_synchronously, wrong, is_encrypted)


async def test_a_server_without_tls_is_refused() -> None:
    """A mode that requires TLS never connects without it; the mode `prefer` does."""
    options = {"listen_addresses": "127.0.0.1", "port": str(free_port()), "ssl": "off"}
    with running_postgres(options=options):
        url = address(f"127.0.0.1:{options['port']}", "sslmode=require", {})
        async with Database(url, pooled=False) as database:
            with pytest.raises(StartError, match="it offers no TLS"):
                await database.migrate()
        async with Database(url.replace("require", "prefer"), pooled=False) as database:
            assert await database.read(is_encrypted) is False
