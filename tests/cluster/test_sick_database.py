"""Nodes with a PostgreSQL that is stopped, killed, out of connections, or hung."""

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

from .test_sick import INTERVAL, WatchedCluster, watched_cluster

pytestmark = pytest.mark.system

HISTORY = "/api/v1/prices?ticker=btc_usd"


async def rows(url: str) -> list[tuple[int, int, bool]]:
    """Return the slots with their epochs, and whether they were written live."""
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
    """Return the slots that are neither stored nor missing with a reason."""
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            query = text(
                "SELECT start, \"end\" FROM ledger WHERE ticker = 'btc_usd' AND kind = 'missing' AND reason <> ''"
            )
            missing = [range(start, end) for start, end in await connection.execute(query)]
    finally:
        await engine.dispose()
    slots = [slot for slot, _, _ in await rows(url)]
    holes = [one for before, after in pairwise(slots) for one in range(before + INTERVAL, after, INTERVAL)]
    return [one for one in holes if not any(one in known for known in missing)]


async def assert_complete(url: str) -> None:
    """Assert that epochs do not decrease, and that every slot is stored or missing with a reason."""
    epochs = [epoch for _, epoch, live in await rows(url) if live]
    assert epochs == sorted(epochs)
    with anyio.fail_after(60):
        while await unexplained(url):
            await anyio.sleep(0.2)


async def healed(watched: WatchedCluster, url: str) -> None:
    """Wait until one node leads, history answers and slots are stored; nobody was logged out."""
    await watched.check("database", True)
    await watched.ticks()
    before = max([slot for slot, _, _ in await rows(url)], default=0)
    with anyio.fail_after(60):
        while max([slot for slot, _, _ in await rows(url)], default=0) <= before:
            await anyio.sleep(0.1)
        while sum([await node.leads() for node in watched.cluster.nodes]) != 1:
            await anyio.sleep(0.1)
    await watched.answers(HISTORY, 200)
    await watched.known()
    assert not {"logged_out", "login_failed"} & {kind for tab in watched.tabs for kind in tab.kinds()}


async def without_database(watched: WatchedCluster, *, answers: bool) -> None:
    """Check the nodes without a database: ticks flow, at most one leads; with ``answers`` history is refused."""
    await watched.check("database", False)
    await watched.ticks()
    if answers:
        await watched.problems(HISTORY)
    with anyio.fail_after(60):  # both leaders may be seen during a change
        while sum([await node.leads() for node in watched.cluster.nodes]) > 1:
            await anyio.sleep(0.1)
    await watched.known()


async def test_ticks_flow_while_postgresql_is_unavailable(tmp_path: Path) -> None:
    """Ticks flow on all nodes, and afterwards every slot is stored or missing with a reason."""
    with running_postgres() as server:
        url = server.create()
        async with watched_cluster(tmp_path, url) as watched:
            await healed(watched, url)
            for sick in (stopped, killed, full, hung):
                async with sick(server):
                    await without_database(watched, answers=sick is not hung)
                await healed(watched, url)
            await assert_complete(url)
            watched.quiet(changes=8)  # the leader also logs each lost and restored connection


@contextlib.asynccontextmanager
async def stopped(server: Postgres) -> AsyncIterator[None]:
    """Stop PostgreSQL in order, and start it."""
    await anyio.to_thread.run_sync(server.stop)
    yield
    await anyio.to_thread.run_sync(server.start)


@contextlib.asynccontextmanager
async def killed(server: Postgres) -> AsyncIterator[None]:
    """Kill PostgreSQL, and start it."""
    await anyio.to_thread.run_sync(server.kill)
    yield
    await anyio.to_thread.run_sync(server.start)


@contextlib.asynccontextmanager
async def full(server: Postgres) -> AsyncIterator[None]:
    """Close the nodes' connections, and hold every connection that PostgreSQL accepts."""
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
                    await anyio.sleep(0.5)  # a new connection may not be listed yet
                    if not await admin.fetchval(f"SELECT count(*) {ours}"):
                        break
                await admin.execute(f"SELECT pg_terminate_backend(pid) {ours}")
        yield


@contextlib.asynccontextmanager
async def hung(server: Postgres) -> AsyncIterator[None]:
    """Suspend PostgreSQL: the kernel accepts connections, and nothing is answered."""
    assert server._server is not None
    master = psutil.Process(server._server.pid)
    processes = [master, *master.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
