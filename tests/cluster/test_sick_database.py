"""A PostgreSQL under nodes that is stopped, killed, out of connections, or hung."""

import contextlib
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import anyio
import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.databases import Postgres, running_postgres

from .test_sick import INTERVAL, House, sick_house

pytestmark = pytest.mark.system

HISTORY = "/api/v1/prices?ticker=btc_usd"


async def rows(url: str) -> list[tuple[int, int, bool]]:
    """The slots with their epochs, and whether they were written live."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            found = await connection.execute(
                text("SELECT timestamp, epoch, source FROM prices WHERE ticker = 'btc_usd' ORDER BY 1")
            )
            return [(int(slot), int(epoch), str(source) == "live") for slot, epoch, source in found]
    finally:
        await engine.dispose()


async def unexplained(url: str) -> list[int]:
    """The slots that are neither stored nor missing with a reason."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            asked = text(
                "SELECT start, \"end\" FROM ledger WHERE ticker = 'btc_usd' AND kind = 'missing' AND reason <> ''"
            )
            missing = [range(start, end) for start, end in await connection.execute(asked)]
    finally:
        await engine.dispose()
    slots = [slot for slot, _, _ in await rows(url)]
    holes = [one for before, after in pairwise(slots) for one in range(before + INTERVAL, after, INTERVAL)]
    return [one for one in holes if not any(one in known for known in missing)]


async def whole(url: str) -> None:
    """No epoch goes back, and soon every slot is stored or missing with a reason."""
    epochs = [epoch for _, epoch, live in await rows(url) if live]
    assert epochs == sorted(epochs)
    with anyio.fail_after(60):
        while await unexplained(url):
            await anyio.sleep(0.2)


async def healed(house: House, url: str) -> None:
    """All is as before: one node leads, history answers, new slots are stored, nobody was logged out."""
    await house.check("database", True)
    await house.ticks()
    before = max([slot for slot, _, _ in await rows(url)], default=0)
    with anyio.fail_after(60):
        while max([slot for slot, _, _ in await rows(url)], default=0) <= before:
            await anyio.sleep(0.1)
        while sum([await node.leads() for node in house.cluster.nodes]) != 1:
            await anyio.sleep(0.1)
    await house.answers(HISTORY, 200)
    await house.known()
    assert not {"logged_out", "login_failed"} & {kind for tab in house.tabs for kind in tab.kinds()}


async def without_database(house: House, *, answers: bool) -> None:
    """Every node says so, ticks flow on all, not two lead; where the database refuses, so does history."""
    await house.check("database", False)
    await house.ticks()
    if answers:
        await house.problems(HISTORY)
    with anyio.fail_after(60):  # of a change of leaders we may see both sides
        while sum([await node.leads() for node in house.cluster.nodes]) > 1:
            await anyio.sleep(0.1)
    await house.known()


async def test_a_sick_postgresql_stops_no_price(tmp_path: Path) -> None:
    """Stopped, killed, out of connections, hung: ticks flow on all nodes, and afterwards no slot is lost unsaid."""
    with running_postgres() as server:
        url = server.create()
        async with sick_house(tmp_path, url) as house:
            await healed(house, url)
            for sick in (stopped, killed, full, hung):
                async with sick(server):
                    await without_database(house, answers=sick is not hung)
                await healed(house, url)
            await whole(url)
            house.quiet(changes=8)  # a connection that is taken from it and given back is a change as well


@contextlib.asynccontextmanager
async def stopped(server: Postgres) -> AsyncIterator[None]:
    """It says goodbye and comes back."""
    await anyio.to_thread.run_sync(server.stop)
    yield
    await anyio.to_thread.run_sync(server.start)


@contextlib.asynccontextmanager
async def killed(server: Postgres) -> AsyncIterator[None]:
    """It dies and comes back."""
    await anyio.to_thread.run_sync(server.kill)
    yield
    await anyio.to_thread.run_sync(server.start)


@contextlib.asynccontextmanager
async def full(server: Postgres) -> AsyncIterator[None]:
    """Every connection is somebody else's; those that the nodes had are closed, and new ones refused."""
    async with contextlib.AsyncExitStack() as stack:

        async def take() -> asyncpg.Connection:
            found = await asyncpg.connect(user="postgres", database="postgres", host=str(server.folder))
            stack.push_async_callback(found.close)
            return found

        admin = await take()
        ours = "FROM pg_stat_activity WHERE application_name LIKE 'cryptomarket%'"
        with anyio.fail_after(60):
            while True:
                with contextlib.suppress(asyncpg.TooManyConnectionsError):
                    while True:
                        await take()
                if not await admin.fetchval(f"SELECT count(*) {ours}"):
                    await anyio.sleep(0.5)  # one that was let in just now is not listed yet
                    if not await admin.fetchval(f"SELECT count(*) {ours}"):
                        break
                await admin.execute(f"SELECT pg_terminate_backend(pid) {ours}")
        yield


@contextlib.asynccontextmanager
async def hung(server: Postgres) -> AsyncIterator[None]:
    """It accepts what the kernel accepts for it, and answers nothing."""
    assert server._server is not None
    master = psutil.Process(server._server.pid)
    held = [master, *master.children(recursive=True)]
    for process in held:
        process.suspend()
    try:
        yield
    finally:
        for process in held:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
