"""Runs verify against the simulated exchange over real sockets, with time that passes faster for both."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptomarket.deribit.auth import Credentials, Secret
from cryptomarket.deribit.doors import COINBASE, DERIBIT
from cryptomarket.simulator.exchange import Exchange, Switches, running_exchange
from cryptomarket.verify.clock import Clock
from cryptomarket.verify.rows import Row, Verdict
from cryptomarket.verify.suite import Plan, running

__all__ = ["KEY", "PACE", "differing", "examined", "exchange_at_pace", "rows_of"]

KEY = Credentials("demo", Secret("demo-secret"))
PACE = 10.0


@asynccontextmanager
async def exchange_at_pace(pace: float = PACE, **options: Any) -> AsyncIterator[Exchange]:
    """A simulated exchange whose clock and ticks are so many times as fast."""
    start = time.monotonic()

    def monotonic() -> float:
        return start + (time.monotonic() - start) * pace

    async with running_exchange(time_scale=pace, monotonic=monotonic, **options) as exchange:
        yield exchange


async def rows_of(
    ws_url: str, http_url: str, kind: str = "deribit", *, pace: float = PACE, record: Path | None = None, **plan: Any
) -> list[Row]:
    """The rows of a run at the addresses, as one kind of hosts."""
    door = replace(DERIBIT if kind == "deribit" else COINBASE, prices_url=ws_url, private_url=ws_url, http_url=http_url)
    rows: list[Row] = []
    options: dict[str, Any] = {"at_once": 8, "connections_a_minute": 10_000, "kinds": (kind,), "record": record} | plan
    with running(Plan(door=door, **options), Clock(pace)) as run:
        await run.check(rows.append)
    return rows


async def examined(
    kind: str = "deribit", switches: Sequence[str] = (), *, pace: float = PACE, **plan: Any
) -> list[Row]:
    """The rows of a run at a simulated host with these switches."""
    async with exchange_at_pace(pace, door=kind, switches=Switches.parse(switches)) as exchange:
        return await rows_of(exchange.ws_url, exchange.http_url, kind, pace=pace, **plan)


def differing(rows: list[Row]) -> dict[str, str]:
    """What was seen of each statement that differs."""
    return {row.statement.name: row.seen for row in rows if row.result is Verdict.DIFFERS}
