"""Starting on a database: wrong addresses, wrong files, migrations, and what an operator reads."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from sqlalchemy import inspect

from cryptomarket.database.engine import Database, translate_errors
from cryptomarket.database.migrate import revisions
from cryptomarket.database.schema import HEAD, metadata
from cryptomarket.errors import DatabaseUnavailable, StartError
from tests.databases import Postgres, StoredHistory

from .test_store import SLOT, price


async def start(url: str) -> None:
    """Open and migrate a store, as the program does when it starts."""
    async with StoredHistory(url, lock_seconds=0.1) as store:
        await store.migrate()


async def test_migrations_and_tables_agree(store: StoredHistory) -> None:
    """What the migrations make is what the statements expect: the same tables, columns and keys."""
    async with store.database.readers.connect() as connection:

        def made(sync: object) -> dict[str, tuple[list[str], list[str]]]:
            found = inspect(sync)
            return {
                table: (
                    [column["name"] for column in found.get_columns(table)],
                    found.get_pk_constraint(table)["constrained_columns"],
                )
                for table in found.get_table_names()
                if table != "alembic_version"
            }

        tables = await connection.run_sync(made)
    expected = {
        table.name: ([column.name for column in table.columns], [column.name for column in table.primary_key])
        for table in metadata.sorted_tables
    }
    assert tables == expected


def test_the_newest_revision_is_the_one_expected() -> None:
    """The shortcut that skips Alembic at a usual start names the newest revision."""
    assert revisions()[-1] == HEAD


async def test_history_survives_every_start(database_url: str) -> None:
    """Rows are there after any number of starts."""
    for n in range(3):
        async with StoredHistory(database_url) as store:
            await store.migrate()
            await store.insert_missing([price(SLOT + 60 * n)])
            assert len((await store.prices("btc_usd")).data) == n + 1


#: A node that starts when its standard input ends.
NODE = """
import asyncio, sys
from cryptomarket.database.engine import Database
from cryptomarket.database.lease import take_epoch
from cryptomarket.history.writer import HistoryWriter
async def main():
    async with Database(sys.argv[1]) as database:
        print("ready", flush=True)
        sys.stdin.read()
        await HistoryWriter(database, 60).migrate()
        print(await database.write(take_epoch))
asyncio.run(main())
"""


def start_together(url: str, nodes: int) -> list[int]:
    """Start so many nodes at one moment; returns their epochs."""
    processes = [
        subprocess.Popen([sys.executable, "-c", NODE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(nodes)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
    epochs = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * nodes
    return epochs


async def test_several_processes_start_at_once(database_url: str) -> None:
    """Four nodes that start on an empty database at the same moment all come up, each with its epoch."""
    epochs = await anyio.to_thread.run_sync(start_together, database_url, 4)
    assert sorted(epochs) == [1, 2, 3, 4]


async def test_a_newer_database_is_left_alone(store: StoredHistory) -> None:
    """An older program says that the database is newer, and changes nothing."""
    async with store.database.writers.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StartError, match="revision 9999, newer than this program"):
        await store.migrate()


async def test_names_the_folder_that_does_not_exist(tmp_path: Path) -> None:
    """The error of a path in a missing folder names the folder."""
    with pytest.raises(StartError, match=f"{tmp_path}/missing/prices.db cannot be made: the folder .* does not exist"):
        await start(f"sqlite+aiosqlite:///{tmp_path}/missing/prices.db")


async def test_names_the_folder_given_as_a_file(tmp_path: Path) -> None:
    """A folder is no database."""
    with pytest.raises(StartError, match=f"{tmp_path} is a folder; expected a file"):
        await start(f"sqlite+aiosqlite:///{tmp_path}")


async def test_names_the_file_that_is_no_database(tmp_path: Path) -> None:
    """Somebody's letter is not overwritten, and the message names it."""
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear reader, " * 100)
    with pytest.raises(StartError, match=f"{letter} cannot be used: file is not a database"):
        await start(f"sqlite+aiosqlite:///{letter}")
    assert letter.read_text() == "Dear reader, " * 100


async def test_names_the_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a file without permission names its path."""
    path = tmp_path / "prices.db"
    path.touch(0o000)
    if os.geteuid() == 0:  # root may read everything; what the system would tell an ordinary user is said for it
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StartError, match=f"{path} cannot be read and written: permission denied"):
        await start(f"sqlite+aiosqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "cannot be read; expected sqlite"),
        ("mysql://user:hunter2@host/prices", "mysql is not supported"),
        ("sqlite+aiosqlite://", "in memory would be empty"),
        ("postgresql+nosuch://user:hunter2@host/prices", "cannot be used"),
    ],
)
def test_a_wrong_address_is_told_without_its_password(url: str, message: str) -> None:
    """The sentence says what was expected; a password is never part of it."""
    with pytest.raises(StartError, match=message) as caught:
        StoredHistory(url)
    assert "hunter2" not in str(caught.value)


async def test_an_unknown_postgresql_database_is_the_operators(postgres: Postgres) -> None:
    """A database that does not exist will not come by waiting."""
    with pytest.raises(StartError, match='database "nosuch" does not exist'):
        await start(postgres.url("nosuch"))


async def test_a_postgresql_that_does_not_answer_may_come_back(tmp_path: Path) -> None:
    """Nobody listens: that passes, and the message has the address without password or query."""
    url = f"postgresql+asyncpg://me:hunter2@/prices?host={tmp_path}&password=hunter3"
    with pytest.raises(DatabaseUnavailable) as caught:
        await start(url)
    assert "hunter" not in str(caught.value)
    assert "hunter" not in repr(Database(url))


async def test_a_locked_sqlite_may_come_back(sqlite_url: str) -> None:
    """Another program's lock at the start passes."""
    await start(sqlite_url)
    async with StoredHistory(sqlite_url, lock_seconds=0.05) as store:
        other = sqlite3.connect(store.database.place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="database is locked"):
            await store.take_epoch()
        other.close()


async def test_readers_do_not_wait_for_a_writer(sqlite_url: str) -> None:
    """While a long write is under way, pages are answered."""
    async with StoredHistory(sqlite_url) as store:
        await store.migrate()
        await store.insert_missing([price(SLOT)])
        other = sqlite3.connect(store.database.place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(60):
            assert await store.is_stored("btc_usd")
        other.close()


async def test_a_read_after_a_restart_of_postgresql_succeeds(postgres: Postgres, postgres_url: str) -> None:
    """The connections that died in the pool cost no request."""
    async with StoredHistory(postgres_url) as store:
        await store.migrate()
        await store.insert_missing([price(SLOT)])
        assert await store.is_stored("btc_usd")
        postgres.stop()
        with pytest.raises(DatabaseUnavailable):
            await store.is_stored("btc_usd")
        postgres.start()
        assert await store.is_stored("btc_usd")
        postgres.stop()
        postgres.start()
        assert await store.is_stored("btc_usd")


async def test_a_mistake_of_ours_is_not_called_an_outage(store: StoredHistory) -> None:
    """A statement that can never work goes through as it is, loudly."""
    with pytest.raises(Exception, match="nosuch") as caught, translate_errors("here"):
        async with store.database.readers.connect() as connection:
            await connection.exec_driver_sql("SELECT * FROM nosuch")
    assert not isinstance(caught.value, DatabaseUnavailable)
