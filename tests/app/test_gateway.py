"""The composition: what the parts do together and what happens when one of them fails."""

import json
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from pathlib import Path

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
    """A gateway on a free port, its database in the folder, beside the exchange or beside nothing."""
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
    """Ids of the stream never go back over a restart."""
    epochs = []
    async with running_exchange() as exchange:
        for _ in range(2):
            gateway = Gateway(settings_for(tmp_path, exchange))
            async with gateway.running():
                await eventually(partial(gateway.latest.tick, "btc_usd"), "a tick arrives")
                epochs.append(gateway.latest.epoch)
    assert epochs == [1, 2]


@pytest.mark.system
async def test_the_daily_work_is_made_up_at_the_start(tmp_path: Path) -> None:
    """What an operator does not want to keep is gone soon after a start, and the status says what was done when."""
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

            await eventually(done, "the work of the day is done")
            old = PageQuery("btc_usd", end=1_700_000_100)
            assert (await gateway.database.read(prices.page, old)).data == []
            assert await gateway.database.read(candles_table.page, "1m", old) == []
            assert len(await gateway.database.read(candles_table.page, "1h", old)) == 1


async def test_readiness_follows_the_exchange(tmp_path: Path) -> None:
    """Ready once prices flow; not ready, with the reason, when they do not."""
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


async def test_a_wrong_key_degrades_and_nothing_more(tmp_path: Path) -> None:
    """Public prices keep flowing with a wrong secret; readiness says so and still lets traffic in."""
    async with running_exchange() as exchange:
        key = {"deribit_client_id": "demo", "deribit_client_secret": "wrong"}
        gateway = Gateway(settings_for(tmp_path, exchange, **key))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            health = await gateway.status.health()
            assert health.status == "degraded"
            assert not health.checks["login"].ok


async def test_a_right_key_is_ready(tmp_path: Path) -> None:
    """With the application's own key the gateway logs in and says so."""
    async with running_exchange() as exchange:
        account = exchange.accounts[0]
        key = {"deribit_client_id": account.client_id, "deribit_client_secret": account.client_secret}
        gateway = Gateway(settings_for(tmp_path, exchange, **key))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            assert (await gateway.status.health()).checks["login"].ok


async def test_redis_that_is_away_degrades(tmp_path: Path) -> None:
    """A configured Redis is watched and said."""
    async with running_exchange() as exchange:
        gateway = Gateway(settings_for(tmp_path, exchange, redis_url="redis://127.0.0.1:1"))
        async with gateway.running():
            await eventually(lambda: gateway.latest.upstream().state is UpstreamState.LIVE, "upstream is live")
            health = await gateway.status.health()
            assert health.status == "degraded"
            assert not health.checks["redis"].ok


async def test_a_proxy_that_is_none_stops_the_start(tmp_path: Path) -> None:
    """A proxy address that cannot be used is a sentence without its password."""
    settings = settings_for(tmp_path, deribit_proxy="http://user:hunter2@")
    with pytest.raises(StartError) as caught:
        await serve(settings)
    assert "hunter2" not in str(caught.value)
