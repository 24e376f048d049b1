"""Known defects of similar gateways do not occur here, over real processes."""

import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path

import anyio
import asyncpg
import httpx2
import pytest

from .processes import Program, eventually, running_program
from .reader import exact, reading

pytestmark = pytest.mark.system


async def exchange_settings(exchange: Program) -> dict[str, object]:
    """Return the settings that connect a gateway to a running `cryptomarket simulate`."""
    line = await eventually(lambda: exchange.out.partition("\n")[0], "the simulated exchange listens")
    words = line.split()
    return {"deribit_ws_url": words[-3], "deribit_http_url": words[-1], "snapshot_interval": 1}


async def test_every_event_of_the_stream_has_its_data(tmp_path: Path) -> None:
    """Every event has a `data:` line; without one a browser dispatches nothing."""
    async with (
        running_program(tmp_path, "demo") as program,
        reading(f"{await program.url()}/sse/?timer=0") as reader,
    ):
        for _ in range(6):
            event = await reader.event()
            assert exact(event)
            assert event.event in {"btc_usd", "eth_usd", "connection"}


async def test_an_omitted_end_date_is_now(tmp_path: Path) -> None:
    """Without an end date the page ends with the newest price."""
    async with running_program(tmp_path, "demo") as program, httpx2.AsyncClient(timeout=60) as client:
        url = f"{await program.url()}/api/v1/prices/filter"
        await eventually(lambda: program.logged("simulated history written"), "the simulated history is written")
        answer = await client.get(url, params={"ticker": "btc_usd", "start_date": "2020-01-01"})
        assert answer.status_code == 200
        assert answer.json()["data"]


async def test_one_stream_does_not_starve_another(tmp_path: Path) -> None:
    """A stream receives its deliveries beside an unread stream and many others."""
    async with running_program(tmp_path, "demo") as program:
        url = f"{await program.url()}/sse/"
        async with anyio.create_task_group() as tasks, reading(f"{url}?timer=0") as unread:
            await unread.next("connection")
            for _ in range(20):
                tasks.start_soon(drain, f"{url}?timer=0")
            async with reading(f"{url}?timer=0.5") as reader:
                await reader.next("connection")
                with anyio.fail_after(60):
                    for _ in range(5):
                        await reader.next("btc_usd")
            tasks.cancel_scope.cancel()


async def drain(url: str) -> None:
    async with reading(url) as reader:
        await reader.rest()


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_restart_neither_loses_nor_duplicates_rows(tmp_path: Path, database_url: str, how: str) -> None:
    """A start neither deletes, duplicates nor changes the rows of earlier runs."""
    async with running_program(tmp_path, "simulate", "--port", "0") as exchange:
        settings = {**await exchange_settings(exchange), "database_url": database_url}
        kept: dict[tuple[str, int], Decimal] = {}
        for _ in range(3):
            async with running_program(tmp_path, "serve", **settings) as gateway:
                await gateway.url()
                kept = await more_than(database_url, len(kept) + 3)
                if how == "stopped":
                    assert await gateway.stop() == 0
                    kept = await rows(database_url)
                else:
                    gateway.process.kill()
                    await gateway.process.wait()
            assert "Traceback" not in gateway.log
            now = await rows(database_url)
            assert kept.keys() <= now.keys()
            # The next run may have stored a newer price in the slot in which a run ended.
            ended = max(slot for _, slot in kept)
            assert {key: kept[key] for key in kept if key[1] < ended}.items() <= now.items()
            kept = now


async def more_than(url: str, count: int) -> dict[tuple[str, int], Decimal]:
    with anyio.fail_after(60):
        while len(found := await rows(url)) <= count:
            await anyio.sleep(0.1)
    return found


async def rows(url: str) -> dict[tuple[str, int], Decimal]:
    """Return every stored price, read without the gateway's code; assert that no row is duplicated."""
    query = "SELECT ticker, timestamp, price FROM prices"
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))) as file:
            found = file.execute(query).fetchall()
    else:
        server = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            found = await server.fetch(query)
        finally:
            await server.close()
    stored = {(row[0], row[1]): Decimal(row[2]) for row in found}
    assert len(stored) == len(found)
    return stored
