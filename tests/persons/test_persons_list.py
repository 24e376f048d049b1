"""`cryptomarket persons list`: who was seen and who is here now, soon after a log-in and after every restart."""

import json
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.fernet import Fernet

from cryptomarket.database.engine import Database
from cryptomarket.database.synchronous import read_synchronously
from cryptomarket.persons.admin import persons_seen
from cryptomarket.persons.last_seen import STOP_SECONDS, WRITE_SECONDS
from cryptomarket.persons.seen_repository import SeenPerson, SeenRepository, list_seen, seen_person
from tests.processes import eventually, run_program
from tests.redis_server import running_redis

from .site import ADA, BOB, PersonSite, connection_event, running_persons
from .test_admin import person

DAY = 86_400


def address(folder: Path) -> str:
    """The database of `running_persons`."""
    return f"sqlite+aiosqlite:///{folder / 'x.db'}"


def rows(folder: Path) -> dict[str, SeenPerson]:
    """The table, by username."""
    return {row.username: row for row in read_synchronously(address(folder), list_seen)}


async def after_the_daily_job(site: PersonSite) -> None:
    """Wait until the daily job has run, which would write the persons once."""
    jobs: Any = site.gateway.status.statistics
    await eventually(lambda: jobs()["maintenance"]["persons"].finished, "the job has run")


async def listed(folder: Path, **settings: object) -> dict[str, dict[str, Any]]:
    """What the command prints, by username."""
    given = {"database_url": address(folder), **settings}
    code, out, log = await run_program(folder, "persons", "list", "--json", **given)
    assert code == 0, log
    return {row["username"]: row for row in map(json.loads, out.splitlines())}


@pytest.mark.system
@pytest.mark.parametrize("with_redis", [False, True])
async def test_d7_the_list_shows_who_is_here_now(tmp_path: Path, with_redis: bool) -> None:
    """Some seconds after a log-in the person is listed as logged in, and after a log-out as seen."""
    async with AsyncExitStack() as stack:
        given: dict[str, Any] = {}
        if with_redis:
            server = await stack.enter_async_context(running_redis(tmp_path))
            given = {"redis_url": server.url, "secret_key": Fernet.generate_key().decode()}
        site = await stack.enter_async_context(running_persons(tmp_path, **given))
        await after_the_daily_job(site)
        before = int(time.time())
        for account in (ADA, BOB):
            browser = await site.browser()
            async with browser.stream() as tab:
                await browser.log_in(account)
                await connection_event(tab, "person")
        assert (await browser.client.delete("/api/v1/persons/me")).status_code == 204
        await anyio.sleep(WRITE_SECONDS + 1)
        found = await listed(tmp_path, **given)
        ada, bob = found["ada"], found["bob"]
        assert before <= ada["first"] <= ada["last"] <= time.time()
        assert before + DAY < ada["logged_in_until"] < time.time() + 2 * DAY
        assert (bob["logged_in_until"], bob["first"] >= before) == (None, True)
        assert list(ada) == ["person_id", "username", "email", "first", "last", "logged_in_until"]
        plain = await run_program(tmp_path, "persons", "list", **{"database_url": address(tmp_path), **given})
        assert [
            "logged in until" in line for line in sorted(plain[1].splitlines(), key=lambda line: "bob" in line)
        ] == [
            True,
            False,
        ]


async def test_d7_a_restart_loses_nobody(tmp_path: Path) -> None:
    """A stop right after a log-in writes the person, whose login ended with the process."""
    async with running_persons(tmp_path) as site:
        await after_the_daily_job(site)
        browser = await site.browser()
        async with browser.stream() as tab:
            await browser.log_in(ADA)
            await connection_event(tab, "person")
        started = time.monotonic()
    assert time.monotonic() - started < STOP_SECONDS + 2
    assert rows(tmp_path)["ada"].logged_in_until is None
    async with running_persons(tmp_path):
        assert list(rows(tmp_path)) == ["ada"]


async def test_d7_who_a_killed_gateway_left_is_not_here(tmp_path: Path) -> None:
    """Without Redis, the logins that a killed process left in the table end when the next one starts."""
    async with running_persons(tmp_path):
        pass
    async with Database(address(tmp_path)) as database:
        await SeenRepository(database).write([SeenPerson("p", "left", "", 1, 2, int(time.time()) + DAY)])
    assert rows(tmp_path)["left"].logged_in_until is not None
    async with running_persons(tmp_path):
        with anyio.fail_after(10):
            while rows(tmp_path)["left"].logged_in_until is not None:
                await anyio.sleep(0.02)


def test_d7_the_cache_decides_who_is_here() -> None:
    """A person in the cache is listed before the row is written; one who is not in it is not here, whatever the row."""
    here, gone = person(1), SeenPerson("p2", "p2", "", 1, 2, 10**10)
    listed: Sequence[SeenPerson] = persons_seen([gone], [here])
    assert [(one.person_id, one.logged_in_until) for one in listed] == [("p1", here.expires_at), ("p2", None)]
    assert persons_seen([SeenPerson("p1", "p1", "", 5, 6)], [here])[0].first == 5
    assert [one.logged_in_until for one in persons_seen([gone, seen_person(here)], None)] == [10**10, here.expires_at]
    assert persons_seen([gone], None, wall=lambda: 2e10)[0].logged_in_until is None
