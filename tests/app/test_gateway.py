"""The composed gateway: its parts together, and the failure of one of them."""

import json
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from cryptomarket.app.gateway import Gateway, serve
from cryptomarket.errors import StartError
from cryptomarket.history import candles_table, prices
from cryptomarket.history.pages import PageQuery
from cryptomarket.model import Price, UpstreamState
from cryptomarket.settings import Settings, read_settings
from cryptomarket.simulator.exchange import Exchange, running_exchange
from tests.processes import eventually

MakeSettings = Callable[..., Settings]


def settings_for(folder: Path, exchange: Exchange | None = None, **values: object) -> Settings:
    """Return settings with a free port, a database in the folder, and the exchange or an unreachable one."""
    ws_url = exchange.ws_url if exchange else "ws://127.0.0.1:1/"
    http_url = exchange.http_url if exchange else "http://127.0.0.1:1"
    defaults = {"port": 0, "drain_seconds": 0, "database_url": f"sqlite+aiosqlite:///{folder / 'x.db'}"}
    return read_settings(**{**defaults, "deribit_ws_url": ws_url, "deribit_http_url": http_url, **values})


@pytest.mark.parametrize("started", [True, False])
async def test_a_failed_task_ends_the_program_with_its_error(tmp_path: Path, started: bool) -> None:
    """A server does not go on answering without one of its tasks: the task's own error stops it and is raised."""

    class Bug(Exception):
        pass

    async def broken(*, task_status: TaskStatus[None]) -> None:
        if started:
            task_status.started()
        raise Bug

    async with running_exchange() as exchange:
        with anyio.fail_after(60), pytest.raises(Bug):
            await serve(settings_for(tmp_path, exchange), lambda _: [broken])


async def test_each_start_takes_a_higher_epoch(tmp_path: Path) -> None:
    """Ids of the stream do not decrease after a restart."""
    epochs = []
    async with running_exchange() as exchange:
        for _ in range(2):
            gateway = Gateway(settings_for(tmp_path, exchange))
            async with gateway.running():
                await eventually(partial(gateway.latest.tick, "btc_usd"), "a tick arrives")
                epochs.append(gateway.latest.epoch)
    assert epochs == [1, 2]


@pytest.mark.system
async def test_missed_daily_jobs_run_at_the_start(tmp_path: Path) -> None:
    """After a start the daily jobs delete expired prices and candles, and the status lists the jobs."""
    async with running_exchange() as exchange:
        gateway = Gateway(settings_for(tmp_path, exchange, keep_prices_days=3, keep_candles_days="1m=3"))
        async with gateway.database:
            await gateway.history.migrate()
            await gateway.history.insert_missing(
                [Price("btc_usd", 1_700_000_040, Decimal(1), 1_700_000_041_000, "backfill")]
            )
        async with gateway.running():

            def done() -> bool:
                jobs = json.loads(json.dumps(gateway.status.statistics()["maintenance"], default=asdict))
                wanted = {"roll-ups", "retention", "upkeep", "persons", "catalogue"}
                return wanted <= {name for name, job in jobs.items() if job["finished"] and not job["failure"]}

            await eventually(done, "the daily jobs are done")
            old = PageQuery("btc_usd", end=1_700_000_100)
            assert (await gateway.database.read(prices.page, old)).data == []
            assert await gateway.database.read(candles_table.page, "1m", old) == []
            assert len(await gateway.database.read(candles_table.page, "1h", old)) == 1


async def test_readiness_follows_the_exchange(tmp_path: Path) -> None:
    """The gateway is ready when prices flow, and unavailable with a failed check when they do not."""
    async with running_exchange() as exchange:
        gateway = Gateway(settings_for(tmp_path, exchange))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            assert (await gateway.status.health()).status == "ready"
            await exchange.close()
            await eventually(lambda: gateway.latest.upstream().state is not UpstreamState.LIVE, "upstream is gone")
            health = await gateway.status.health()
            assert health.status == "unavailable"
            assert not health.checks["upstream"].ok


async def test_a_wrong_key_degrades(tmp_path: Path) -> None:
    """With a wrong secret public prices flow, and the health is degraded."""
    async with running_exchange() as exchange:
        key = {"deribit_client_id": "demo", "deribit_client_secret": "wrong"}
        gateway = Gateway(settings_for(tmp_path, exchange, **key))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            health = await gateway.status.health()
            assert health.status == "degraded"
            assert not health.checks["login"].ok


async def test_a_right_key_is_ready(tmp_path: Path) -> None:
    """With a right key the gateway logs in, and the check of the login passes."""
    async with running_exchange() as exchange:
        account = exchange.accounts[0]
        key = {"deribit_client_id": account.client_id, "deribit_client_secret": account.client_secret}
        gateway = Gateway(settings_for(tmp_path, exchange, **key))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            assert (await gateway.status.health()).checks["login"].ok


async def test_restarts_use_one_exchange_session(tmp_path: Path) -> None:
    """The exchange keeps 16 sessions of a key: a new one at each start would end those of other programs."""
    async with running_exchange() as exchange:
        account = exchange.accounts[0]
        key = {"deribit_client_id": account.client_id, "deribit_client_secret": account.client_secret}
        scopes = []
        for _ in range(2):
            gateway = Gateway(settings_for(tmp_path, exchange, **key))
            async with gateway.running():
                await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")  # noqa: B023
                upstream: Any = gateway.status.statistics()["upstream"]
                scopes.append({word for word in upstream.login.scope if word.startswith("session:")})
        assert scopes[0] == scopes[1] != set()


async def test_a_wrong_clock_degrades_and_logs_in(tmp_path: Path) -> None:
    """With a clock that is wrong by more than a minute the login succeeds, and the health says what to set."""
    async with running_exchange() as exchange:
        exchange.inject("skew", "90")
        account = exchange.accounts[0]
        key = {"deribit_client_id": account.client_id, "deribit_client_secret": account.client_secret}
        gateway = Gateway(settings_for(tmp_path, exchange, **key))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            health = await gateway.status.health()
            assert health.status == "degraded"
            assert health.checks["login"].ok
            assert "90 s behind the exchange's" in health.checks["exchange_clock"].detail
            assert "cryptomarket_upstream_clock_behind_seconds 9" in gateway.status.exposition().decode()


async def test_an_unavailable_redis_degrades(tmp_path: Path) -> None:
    """Without its Redis the gateway is degraded, and the check of Redis fails."""
    async with running_exchange() as exchange:
        gateway = Gateway(settings_for(tmp_path, exchange, redis_url="redis://127.0.0.1:1"))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            health = await gateway.status.health()
            assert health.status == "degraded"
            assert not health.checks["redis"].ok


async def test_an_invalid_proxy_prevents_the_start(tmp_path: Path) -> None:
    """The StartError of an invalid proxy URL does not contain its password."""
    settings = settings_for(tmp_path, deribit_proxy="http://user:hunter2@")
    with pytest.raises(StartError) as caught:
        await serve(settings)
    assert "hunter2" not in str(caught.value)
